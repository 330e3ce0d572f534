"""Kubeconfig files are merged by kubectl's rules, and every problem names its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.connection.files import Kubeconfig, load_kubeconfig
from harness.common.errors import KubeconfigInvalid
from tests.unit.cluster.connection.kubeconfigs import kubeconfig, write


def merged(*files: Path | str) -> Kubeconfig:
    return load_kubeconfig(environ={"KUBECONFIG": ":".join(map(str, files))})


def named(context: str, server: str = "https://192.0.2.1", name: str = "c") -> dict[str, Any]:
    data = kubeconfig(server)
    data["current-context"] = context
    data["clusters"][0]["name"] = name
    return data


def test_first_current_context_wins(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", named("from-a")), write(tmp_path / "b", named("from-b"))
    assert merged(a, b).current_context == "from-a"
    assert merged(b, a).current_context == "from-b"


@pytest.mark.parametrize("content", ["", "# nothing\n", "null\n", 'current-context: ""\n', "current-context: null\n"])
def test_empty_file_changes_nothing(tmp_path: Path, content: str) -> None:
    a, empty = write(tmp_path / "a", named("from-a")), tmp_path / "empty"
    empty.write_text(content)
    for found in (merged(a, empty), merged(empty, a)):
        assert (found.current_context, set(found.clusters)) == ("from-a", {"c"})


def test_first_entry_of_a_name_counts_whole(tmp_path: Path) -> None:
    a = write(tmp_path / "a", named("x", "https://a"))
    data = named("x", "https://b")
    data["clusters"][0]["cluster"]["tls-server-name"] = "b"
    b = write(tmp_path / "b", data)
    found = merged(a, b).clusters["c"]
    assert (found.entry.server, found.entry.tls_server_name, found.file) == ("https://a", "", a)
    assert set(merged(a, write(tmp_path / "c", named("x", name="other.name"))).clusters) == {"c", "other.name"}


def test_missing_and_repeated_files_are_skipped(tmp_path: Path) -> None:
    a = write(tmp_path / "a", named("from-a"))
    assert merged(tmp_path / "nowhere", "", a, a).files == (a,)


def test_without_any_file_there_is_no_context(tmp_path: Path) -> None:
    found = merged(tmp_path / "nowhere", tmp_path / "neither")
    assert (found.current_context, found.files) == ("", ())
    assert found.name == f"{tmp_path}/nowhere:{tmp_path}/neither (not found)"


def test_named_file_takes_precedence_over_the_environment(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", named("from-a")), write(tmp_path / "b", named("from-b"))
    assert load_kubeconfig(b, {"KUBECONFIG": str(a)}).current_context == "from-b"
    with pytest.raises(KubeconfigInvalid, match=f"{tmp_path}/nowhere: there is no such file"):
        load_kubeconfig(tmp_path / "nowhere", {"KUBECONFIG": str(a)})


def test_without_variable_the_home_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".kube/config", named("at-home"))
    assert load_kubeconfig(environ={}).current_context == "at-home"
    assert load_kubeconfig(environ={"KUBECONFIG": ""}).current_context == "at-home"


def test_paths_are_relative_to_their_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "first/a", named("x"))
    write(tmp_path / "second/b", named("x", name="d"))
    found = merged("first/a", "second/b")
    assert found.clusters["c"].path("ca.crt") == tmp_path / "first/ca.crt"
    assert found.clusters["d"].path("ca.crt") == tmp_path / "second/ca.crt"
    assert found.clusters["d"].path("/ca.crt") == Path("/ca.crt")


WRONG = {
    "an open bracket": ("current-context: [x\n", 2, "not valid YAML"),
    "a list": ("[]\n", 1, "found a list, expected a mapping"),
    "text": ("nonsense\n", 1, "found text, expected a mapping"),
    "a number": ("apiVersion: v1\ncurrent-context: 12\n", 2, "current-context: found a number, expected text"),
    "another version": ("apiVersion: v2\n", 1, "apiVersion: found 'v2', expected 'v1'"),
    "another kind": ("kind: Pod\n", 1, "kind: found 'Pod', expected 'Config'"),
    "a mapping": ("users:\n  u: {}\n", 1, "users: found a mapping, expected a list"),
    "base64": (
        "clusters:\n- name: c\n  cluster:\n    certificate-authority-data: '?'\n",
        4,
        "clusters[0].cluster.certificate-authority-data: found invalid base64, expected base64",
    ),
    "a name twice": ("users: [{name: u}, {name: u}]\n", 1, "users[1].name: found the name 'u' twice, expected once"),
}


@pytest.mark.parametrize("content", WRONG)
def test_wrong_file_is_one_sentence_with_its_place(tmp_path: Path, content: str) -> None:
    text, line, message = WRONG[content]
    file = tmp_path / "wrong"
    file.write_text(text)
    with pytest.raises(KubeconfigInvalid) as caught:
        load_kubeconfig(file)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{file}:{line}: ")
    assert message in str(problem)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"current-context: \xe4"])
def test_file_in_another_encoding_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong").write_bytes(content)
    with pytest.raises(KubeconfigInvalid, match=f"{tmp_path}/wrong:1: cannot be read: .*utf-(8|16)"):
        load_kubeconfig(tmp_path / "wrong")


def test_folder_and_unreadable_file_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KubeconfigInvalid, match=f"{tmp_path}: not a regular file"):
        load_kubeconfig(tmp_path)
    file = write(tmp_path / "secret", kubeconfig())
    with pytest.raises(KubeconfigInvalid, match=f"{file}/below: cannot be read: Not a directory"):
        merged(file / "below")
    # As root every file can be read: the refusal is played.
    monkeypatch.setattr(Path, "open", lambda *_, **__: os.open("/proc/1/nowhere", os.O_RDONLY))
    with pytest.raises(KubeconfigInvalid, match=f"{file}: cannot be read"):
        load_kubeconfig(file)


def test_problems_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_text("- no mapping\n")
    with pytest.raises(KubeconfigInvalid) as caught:
        merged(*files)
    assert [problem.file for problem in caught.value.problems] == files


def test_secrets_of_a_wrong_type_are_not_shown(tmp_path: Path) -> None:
    data = kubeconfig(user={"token": 4711081500, "password": ["4711081500"], "client-key-data": "4711081500!"})
    with pytest.raises(KubeconfigInvalid) as caught:
        load_kubeconfig(write(tmp_path / "k", data))
    assert len(caught.value.problems) == 3
    assert "4711081500" not in str(caught.value)


def test_unknown_keys_and_nulls_are_ignored(tmp_path: Path) -> None:
    data = kubeconfig(user={"token": None, "as-groups": None, "exec": None, "new": 1}, colour="red")
    found = load_kubeconfig(write(tmp_path / "k", {**data, "preferences": {}, "extensions": None}))
    assert found.users["u"].entry.token == ""
