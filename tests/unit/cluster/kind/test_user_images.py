"""A user's images for kind: from a runtime or an archive, each loaded once, for one platform, under its name."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from harness.cluster.kind import user_images
from harness.cluster.kind.user_images import ImagesToLoad
from harness.cluster.local.supply.archives import open_archive
from harness.cluster.local.supply.given import GivenImages
from harness.common.errors import InputError
from tests.unit.cluster.local.supply.image_archives import Layout, docker_archive, layer, silent
from tests.unit.cluster.local.supply.programs import Runtime, held

AMD = "linux/amd64"


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...], bytes]]:
    """Cluster, names and all content of each archive that reached ``kind load``; PATH has only ``tmp_path/bin``."""
    seen = []

    def load(cluster: str, archive: Path) -> None:
        with open_archive(archive) as opened:
            (image,) = opened.images()
        with tarfile.open(archive) as tar:
            content = b"".join(tar.extractfile(member).read() for member in tar)  # type: ignore[union-attr]
        seen.append((cluster, image.names, content))

    monkeypatch.setattr(user_images.kind, "load_images", load)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return seen


def images(folder: Path, *load: str) -> ImagesToLoad:
    return ImagesToLoad("mine", GivenImages(load, folder), AMD)


def test_image_of_a_runtime_is_loaded_once(loaded: list[tuple[str, tuple[str, ...], bytes]], tmp_path: Path) -> None:
    saved = docker_archive(tmp_path / "saved.tar", "localhost/shop:1")
    Runtime(tmp_path / "bin", "podman", {"shop:1": held(saved)})
    to_load, progress = images(tmp_path), list[str]()
    source = to_load.source("shop:1")
    assert (source.where, source.on_nodes) == ("podman has it, loaded into the nodes (5 MB)", True)
    for _ in range(2):
        to_load.bring(["shop:1", "quay.io/other:1", "resilience.local/podinfo:1"], progress.append)
    assert [each[:2] for each in loaded] == [("mine", ("docker.io/library/shop:1",))]
    assert progress == ["loading shop:1 from podman into the nodes, 5 MB"]


def test_only_the_nodes_platform_is_loaded(loaded: list[tuple[str, tuple[str, ...], bytes]], tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.index(AMD, "linux/arm64"), "shop:1")
    layout.name(layout.manifest(text="unused"), "unused:1")
    layout.write(tmp_path / "a.tar")
    images(tmp_path, "a.tar").bring(["shop:1"], silent)
    assert [each[1][0] for each in loaded] == ["docker.io/library/shop:1", "docker.io/library/unused:1"]
    assert layer(f"for {AMD}") in loaded[0][2]
    # kind would import the other platforms of an index too, and fail.
    assert b"arm64" not in loaded[0][2]


def test_archive_for_another_platform_is_missing(tmp_path: Path) -> None:
    docker_archive(tmp_path / "a.tar", "shop:1", platform="linux/arm64")
    source = images(tmp_path, "a.tar").source("shop:1")
    assert source.missing == f"archive {tmp_path / 'a.tar'} has it for linux/arm64, but the nodes are linux/amd64"


def test_all_other_images_are_pulled_by_the_nodes(
    loaded: list[tuple[str, tuple[str, ...], bytes]], tmp_path: Path
) -> None:
    Runtime(tmp_path / "bin", "docker", {"shop:1": held(tmp_path / "none", architecture="arm64")})
    to_load = images(tmp_path)
    # A loaded image would not have the digest that the manifest names.
    for reference in ("nginx:1", "shop:1", f"shop@sha256:{'a' * 64}"):
        assert to_load.source(reference).where == "pulled by the nodes"
    to_load.bring(["nginx:1", "shop:1"], silent)
    assert loaded == []


def test_given_reference_that_cannot_be_pulled_is_an_error(
    loaded: list[tuple[str, tuple[str, ...], bytes]], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"--load-image docker.io/library/shop:1: no container runtime can pull it"):
        images(tmp_path, "shop:1").bring([], silent)
    Runtime(tmp_path / "bin", "docker", {})
    with pytest.raises(InputError, match=r"--load-image docker.io/library/shop:1: docker pull .*pull access denied"):
        images(tmp_path, "shop:1").bring([], silent)
    assert loaded == []
