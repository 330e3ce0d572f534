"""Images that few experiments use are built at their first use, and only then."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cluster.components import COMPONENTS, ON_DEMAND, Component, versions
from harness.cluster.local import extra_images, images
from harness.cluster.local.binaries import Binaries
from harness.cluster.local.images import ImageSet, were_built
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.experiment.workload_checks.images import HARNESS_IMAGES

VERSION = versions(ON_DEMAND)["alertmanager"]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the programs that were built; each has a few bytes."""
    names: list[str] = []
    (tmp_path / "busybox").write_bytes(b"busybox")
    (tmp_path / "alertmanager").write_bytes(b"alertmanager")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(images, "BUSYBOX", tmp_path / "busybox")
    monkeypatch.setattr(extra_images, "BUSYBOX", tmp_path / "busybox")
    monkeypatch.setattr(images, "busybox_applets", lambda: ["sh"])

    def ensure(_progress: object, components: Sequence[Component]) -> Binaries:
        names.extend(component.name for component in components)
        return Binaries(tmp_path, versions(components))

    monkeypatch.setattr(extra_images.binaries, "ensure", ensure)
    return names


def test_image_is_built_alone_and_once(built: list[str]) -> None:
    said: list[str] = []
    root = extra_images.ensure("alertmanager", said.append)
    assert ImageSet(root).reference("alertmanager") == f"resilience.local/alertmanager:{VERSION}"
    assert built == ["alertmanager"]
    assert extra_images.ensure("alertmanager", said.append) == root
    assert said == ["making the image alertmanager"]


def test_image_of_debian_packages_is_made_without_a_build(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    with tarfile.open(tmp_path / "root.tar", "w") as root:
        root.add(tmp_path / "busybox", "usr/bin/redis-server")

    def debian_root(wanted: tuple[str, ...], _progress: object) -> Path:
        asked.append(wanted)
        return tmp_path / "root.tar"

    monkeypatch.setattr(extra_images, "debian_root", debian_root)
    root_folder = extra_images.ensure("redis", lambda _message: None)
    found = ImageSet(root_folder)
    assert (asked, built) == ([("redis-server", "redis-tools")], [])
    assert extra_images.named(found.reference("redis")) == "redis"
    manifest = json.loads(found.blob(found.manifests()["redis"]))
    layer = root_folder / "sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")
    assert layer.read_bytes() == (tmp_path / "root.tar").read_bytes()


@pytest.mark.usefixtures("built")
def test_it_does_not_count_as_a_build_of_the_cluster() -> None:
    extra_images.ensure("alertmanager", lambda _message: None)
    assert not were_built()


def test_reference_is_recognised() -> None:
    assert extra_images.named(f"resilience.local/alertmanager:{VERSION}") == "alertmanager"
    assert extra_images.named("resilience.local/stress-ng:0.15.06") == "stress-ng"
    assert extra_images.named("resilience.local/prometheus:3.13.0") == ""


def test_clusters_that_do_not_need_it_do_not_build_it() -> None:
    assert not {component.name for component in ON_DEMAND} & {component.name for component in COMPONENTS}
    assert not {component.folder for component in ON_DEMAND} & {component.folder for component in COMPONENTS}


def test_manifests_may_name_it() -> None:
    assert "alertmanager" in HARNESS_IMAGES
