"""Single programs of the local cluster: taken from a whole build, or built alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cluster.components import Component
from harness.cluster.local import binaries, packages
from harness.cluster.local.binaries import Binaries
from harness.cluster.local.built import built
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress


def silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs of each build; a whole cluster would be built in ``whole``."""
    asked: list[list[str]] = []

    def ensure(_progress: Progress, components: Sequence[Component]) -> Binaries:
        asked.append([component.name for component in components])
        return Binaries(tmp_path / "alone", {})

    monkeypatch.setattr(packages, "check_platform", lambda: None)
    monkeypatch.setattr(binaries, "place", lambda _progress: tmp_path / "whole")
    monkeypatch.setattr(binaries, "ensure", ensure)
    return asked


def test_program_of_a_built_cluster_is_taken(tmp_path: Path, builds: list[list[str]]) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole/kubectl").touch()
    assert built("kubectl", silent) == tmp_path / "whole/kubectl"
    assert builds == []


@pytest.mark.parametrize("name", ["kubectl", "helm"])
def test_missing_program_is_built_alone(tmp_path: Path, builds: list[list[str]], name: str) -> None:
    assert built(name, silent) == tmp_path / "alone" / name
    assert builds == [[name]]


def test_unknown_program_is_not_built(builds: list[list[str]]) -> None:
    assert built("kustomize", silent) is None
    assert builds == []


@pytest.mark.usefixtures("builds")
def test_nothing_is_built_without_root_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ClusterBroken("a local cluster needs root on Linux")

    monkeypatch.setattr(packages, "check_platform", refuse)
    assert built("helm", silent) is None
