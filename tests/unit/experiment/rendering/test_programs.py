"""Programs that render: which one runs, what it may reach, and what its failure reads like."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from harness.common.errors import ClusterBroken
from harness.experiment.rendering import programs
from harness.experiment.rendering.programs import ProgramMissing, RenderFailed, environment, find
from tests.unit.experiment.rendering.programs import fails, program


def silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH with programs that render; none can be built."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    monkeypatch.setattr(programs.shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None)
    monkeypatch.setattr(programs, "built", lambda _name, _progress: None)
    return folder


def test_first_program_on_the_path_is_used(path: Path) -> None:
    kustomize = program(path, "kustomize", "")
    assert find(("kubectl", "kustomize"), silent).path == kustomize
    kubectl = program(path, "kubectl", "")
    assert find(("kubectl", "kustomize"), silent).path == kubectl


def test_program_is_built_only_without_an_installed_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = program(path.parent / "cache", "helm", "")
    monkeypatch.setattr(programs, "built", lambda name, _progress: built.parent / name)
    assert find(("helm",), silent).path == built
    own = program(path, "helm", "")
    assert find(("helm",), silent).path == own


@pytest.mark.usefixtures("path")
def test_missing_program_is_named() -> None:
    with pytest.raises(ProgramMissing, match="found no kubectl or kustomize on the PATH; install kubectl"):
        find(("kubectl", "kustomize"), silent)


@pytest.mark.usefixtures("path")
def test_failed_build_is_part_of_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str, _progress: object) -> Path:
        raise ClusterBroken("go build ended with exit code 1")

    monkeypatch.setattr(programs, "built", broken)
    with pytest.raises(ProgramMissing, match=r"found no helm on the PATH, and it could not be built: go build ended"):
        find(("helm",), silent)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("echo v3.22.0+g1234", "v3.22.0+g1234"),
        ("echo '{Version:kustomize/v4.5.7 GitCommit:1}'", "v4.5.7"),
        ("echo nothing", "of unknown version"),
        ("exit 3", "of unknown version"),
    ],
)
def test_version_of_the_program_is_kept(path: Path, printed: str, expected: str) -> None:
    (path / "helm").write_text(f"#!/bin/sh\n{printed}\n")
    (path / "helm").chmod(0o755)
    assert find(("helm",), silent).version == expected


def test_version_of_kubectl_has_that_of_its_kustomize(path: Path) -> None:
    text = '{"clientVersion": {"gitVersion": "v1.36.3"}, "kustomizeVersion": "v5.8.1"}'
    (path / "kubectl").write_text(f"#!/bin/sh\necho '{text}'\n")
    (path / "kubectl").chmod(0o755)
    assert str(find(("kubectl",), silent)) == "kubectl v1.36.3 (kustomize v5.8.1)"


def test_rendering_reaches_no_cluster_and_no_network() -> None:
    user = {"KUBECONFIG": "/home/me/.kube/config", "HELM_KUBECONTEXT": "prod", "HELM_CACHE_HOME": "/c", "no_proxy": "*"}
    found = environment({**user, "https_proxy": "http://proxy:3128"}, network=False)
    assert found["KUBECONFIG"] == os.devnull
    assert "HELM_KUBECONTEXT" not in found
    assert found["HELM_CACHE_HOME"] == "/c"
    assert {found[name] for name in ("http_proxy", "https_proxy", "HTTPS_PROXY")} == {"http://127.0.0.1:9"}
    assert "no_proxy" not in found


def test_registry_is_reached_with_the_users_proxy() -> None:
    found = environment({"https_proxy": "http://proxy:3128", "KUBECONFIG": "mine"}, network=True)
    assert found["https_proxy"] == "http://proxy:3128"
    assert found["KUBECONFIG"] == os.devnull


def test_slow_program_is_ended_with_its_children(path: Path) -> None:
    pipe = path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    program(path, "helm", f"(exec > '{pipe}'; echo started; exec sleep 60) &\nwait")
    helm = find(("helm",), silent)
    try:
        with pytest.raises(RenderFailed, match=r"helm did not end within 0\.3 s"):
            helm.run("template", seconds=0.3)
        assert os.read(reader, 100) == b"started\n"
        # At the end of the file: the child does not hold the pipe any more.
        assert select.select([reader], [], [], 10.0)[0]
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)


def test_endless_output_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MAX_BYTES", 10)
    program(path, "helm", "echo 'more than ten bytes'")
    with pytest.raises(RenderFailed, match="helm printed more than 10 bytes"):
        find(("helm",), silent).run("template")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("Error: chart is broken\n\nUse --debug flag to render out invalid YAML\n", "chart is broken"),
        ("error: no such file\n", "no such file"),
        ("# Warning: 'bases' is deprecated.\nerror: no such file\n", "no such file"),
        ('E1129 04:12:31.880731   31563 run.go:72] "command failed" err="no match for \\"a\\""\n', 'no match for "a"'),
        (
            'E1129 04:12:31.834775   31553 run.go:72] "command failed" err=<\n\ttrouble: `\n\tpath: p.yaml\n >\n',
            "trouble: ` path: p.yaml",
        ),
        ("Error: \x1b[31mred\x07\n", " [31mred"),
        ("", "helm failed with exit code 1 and no message"),
    ],
)
def test_failure_is_shown_without_decoration(path: Path, printed: str, shown: str) -> None:
    fails(path, "helm", printed)
    with pytest.raises(RenderFailed) as caught:
        find(("helm",), silent).run("template")
    assert str(caught.value).strip() == shown.strip()


def test_program_that_cannot_run_is_one_error(path: Path) -> None:
    helm = find(("helm",), silent) if program(path, "helm", "") else None
    assert helm
    helm.path.write_bytes(b"\x00\x01no program")
    with pytest.raises(RenderFailed, match="cannot be run"):
        helm.run("template")
