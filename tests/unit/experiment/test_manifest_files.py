"""What is read from a workload's folder: what kubectl reads, and a word about everything else."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as some

from harness.common.errors import InputError
from harness.experiment.manifest_files import read_folder
from harness.experiment.manifests import Workload, load_workload
from tests import kubectl


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def manifest(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


def refusals(folder: Path) -> list[str]:
    """Everything that is wrong with a folder, with the names of files alone."""
    with pytest.raises(InputError) as caught:
        load_workload(folder)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def loaded(folder: Path, **files: str) -> Workload:
    """The workload of files with these contents; two underscores stand for the point."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return load_workload(folder)


def test_json_beside_yaml_is_deployed(tmp_path: Path) -> None:
    found = loaded(tmp_path, a__yaml=manifest("a"), b__json=json.dumps(config_map("b")), c__yml=manifest("c"))
    assert found.names() == ["configmap/a", "configmap/b", "configmap/c"]
    assert found.note == ""


def test_files_ignored_by_kubectl_are_named(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "more.yaml").mkdir()
    found = loaded(tmp_path, a__yaml=manifest("a"), b__YAML=manifest("b"), README__md="x", __hidden__yaml=manifest("h"))
    assert found.names() == ["configmap/h", "configmap/a"]
    assert found.ignored == ("README.md", "b.YAML", "more.yaml/", "old/")
    assert found.note.endswith("since kubectl apply -f does not read it either: README.md, b.YAML, more.yaml/, old/")


def test_long_list_of_skipped_files_is_cut(tmp_path: Path) -> None:
    found = loaded(tmp_path, a__yaml=manifest("a"), **{f"{number}__txt": "" for number in range(12)})
    assert found.note.endswith(" and 4 more")


def test_empty_folder_names_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("")
    assert refusals(tmp_path)[0].endswith(
        "found no .yaml, .yml or .json files, only notes.md; expected at least one Kubernetes object"
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes(manifest("größe").encode(encoding))
    assert load_workload(tmp_path).names() == ["configmap/größe"]


def test_marks_within_joined_files_are_read(tmp_path: Path) -> None:
    text = codecs.BOM_UTF8 + manifest("a").encode() + b"---\n" + codecs.BOM_UTF8 + manifest("b").encode()
    (tmp_path / "a.yaml").write_bytes(text)
    assert load_workload(tmp_path).names() == ["configmap/a", "configmap/b"]


def test_lists_are_flattened(tmp_path: Path) -> None:
    pods = {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "p"}}]}
    whole = {"apiVersion": "v1", "kind": "List", "items": [config_map("a"), pods, {"kind": "List", "items": []}]}
    assert loaded(tmp_path, a__json=json.dumps(whole)).names() == ["configmap/a", "pod/p"]


def test_problems_in_lists_name_the_items_line(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: 5\n- 5\n"
    (tmp_path / "a.yaml").write_text(text)
    first, second = refusals(tmp_path)
    assert first.startswith("a.yaml:7: items[0].metadata.name: found 5, expected")
    assert second == "a.yaml:8: items[1]: found a number, expected a Kubernetes object"


@pytest.mark.parametrize("name", ["kustomization.yaml", "other.yaml"])
def test_kustomizations_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n"
    )
    (problem,) = refusals(tmp_path)
    assert problem.startswith(name)
    assert "found a kustomization, which is not a manifest" in problem
    assert "workload: {kustomize: FOLDER}" in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: A\nmetadata: {name: a}\n", "a.yaml:1: apiVersion: missing"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "a.yaml:1: kind: missing"),
        ("apiVersion: v1\nkind: A\n", "a.yaml:1: metadata: missing"),
        ("apiVersion: v1\nkind: A\nmetadata: {}\n", "a.yaml:3: metadata.name: missing"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: ''}\n", "a.yaml:3: metadata.name: found ''"),
        ("apiVersion: v1\nkind: A\nmetadata: {generateName: 3}\n", "a.yaml:3: metadata.name: missing"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: a.b}\n", "a.yaml:3: metadata.namespace: found 'a.b'"),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a}\nkind: B\n",
            "a.yaml:4: kind: duplicate key, first given in line 2",
        ),
        ("text\n", "a.yaml:1: found text, expected a Kubernetes object"),
        ("kind: List\napiVersion: v1\nitems:\n- null\n", "items[0]: found nothing, expected a Kubernetes object"),
        ("# nothing\n---\n", ": found no manifests in 1 files; expected at least one Kubernetes object"),
    ],
)
def test_non_object_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert problem in refusals(tmp_path)[0]


def test_loop_of_links_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("a"))
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (problem,) = refusals(tmp_path)
    assert problem.startswith("loop.yaml: cannot be read: ")
    assert "Too many levels of symbolic links" in problem


FILES: dict[str, Callable[[], str]] = {
    "crlf": lambda: manifest("a").replace("\n", "\r\n") + "---\r\n" + manifest("b").replace("\n", "\r\n"),
    "comments at separators": lambda: f"# head\n--- # first\n{manifest('a')}---   \n# end\n---\n",
    "ends of documents": lambda: f"{manifest('a')}...\n---\n{manifest('b')}...\n",
    "empty documents": lambda: f"---\n---\n{manifest('a')}---\nnull\n---\n~\n",
    "json in a row": lambda: json.dumps(config_map("a"), indent=1) + json.dumps(config_map("b")),
    "json with tabs": lambda: json.dumps(config_map("a", b="c"), indent="\t"),
    "json and yaml": lambda: f"{json.dumps(config_map('a'))}\n---\n{manifest('b')}",
    "tabs": lambda: "apiVersion:\tv1\nkind: ConfigMap\t\nmetadata:\t{\tname: a\t}\n",
    "tabs in text": lambda: f"{manifest('a')}data:\n  a\tb: c\t d\t# e\n  f: g\t\n    h\n",
    "anchors": lambda: f"{manifest('a')}data: &d {{x: y}}\nbinaryData: *d\n",
    "merge keys": lambda: f"{manifest('a')}x: &x {{b: '1', c: '1'}}\ndata: {{b: '0', <<: *x, c: '2'}}\n",
    "several merged": lambda: f"{manifest('a')}x: &x {{b: '1'}}\ny: &y {{b: '2', c: '2'}}\ndata: {{<<: [*x, *y]}}\n",
    "block text": lambda: f'{manifest("a")}data:\n  b: |+\n    x\n\n  c: >-\n    y\n    z\n  d: "\\u00e9\\x41"\n',
    "a list": lambda: json.dumps({"apiVersion": "v1", "kind": "List", "items": [config_map("a"), config_map("b")]}),
    "a typed list": lambda: json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"metadata": {"name": "a"}}]}
    ),
    "byte order mark": lambda: f"\ufeff{manifest('a')}",
    "keys": lambda: f"{manifest('a')}data: {{1: a, yes: b, 0x10: c, 'no': d}}\n",
}


@pytest.mark.parametrize("case", FILES)
def test_files_are_read_as_kubectl_reads_them(tmp_path: Path, case: str) -> None:
    kubectl.required()
    (tmp_path / "a.yaml").write_bytes(FILES[case]().encode())
    theirs, error = kubectl.read(tmp_path)
    assert not error
    assert list(load_workload(tmp_path).objects) == theirs


PIECES = some.sampled_from(
    [
        *"\t \n:-#'\"{}[],&*!|>?%@`~\r.0\u2028\x85\xa0\ufeff",
        "---",
        "\n---\n",
        "...",
        "<<: ",
        "\n\n",
        "# c\n",
        "yes",
        ": ",
    ]
)


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(data=some.data())
def test_spoilt_files_are_read_alike_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    """Where kubectl reads a file and we do too, both find the same objects."""
    kubectl.required()
    text = data.draw(some.sampled_from(list(FILES.values())))()
    for _ in range(data.draw(some.integers(1, 3))):
        at, gone = data.draw(some.integers(0, len(text))), data.draw(some.integers(0, 2))
        text = text[:at] + data.draw(PIECES) + text[at + gone :]
    file = tmp_path_factory.getbasetemp() / "spoilt" / "a.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode())
    theirs, error = kubectl.read(file.parent)
    ours = read_folder(file.parent)
    # What is no object is refused when the workload is loaded: test_non_object_is_refused_with_its_line.
    refused = ours.problems or not all(isinstance(document.data, dict) for document in ours.documents)
    if not error and not refused:
        assert [document.data for document in ours.documents] == theirs
