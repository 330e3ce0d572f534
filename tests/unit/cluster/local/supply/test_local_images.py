"""The sources of an image for a local cluster: their order, what is brought, and why none has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.local.paths import CACHE_VARIABLE
from harness.cluster.local.supply.given import GivenImages
from harness.cluster.local.supply.local_images import LocalImages
from harness.cluster.local.supply.pull import Limits, Puller
from harness.cluster.local.supply.store import ImageStore, Loading, load_archive
from harness.common.clock import Clock, FakeClock
from harness.common.errors import InputError
from tests.unit.cluster.local.supply.image_archives import Layout, docker_archive, silent
from tests.unit.cluster.local.supply.programs import Crane, Runtime, held

AMD = "linux/amd64"


class Place:
    """A machine with a cache, container runtimes, and registries."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        monkeypatch.setenv(CACHE_VARIABLE, str(folder / "cache"))
        # Without the runtimes of the machine that runs the tests.
        monkeypatch.setenv("PATH", str(self.bin))
        self.store = ImageStore.of_cache()
        self.crane = Crane(folder / "registry")

    def images(self, *load: str, clock: Clock | None = None) -> LocalImages:
        puller = Puller(self.crane.program, self.store, AMD, limits=Limits(answer=5.0))
        given = GivenImages(load, self.folder)
        return LocalImages(None, self.store, given, puller=puller, platform=AMD, clock=clock)

    def serve(self, repository: str, tag: str = "1", text: str = "pulled", platform: str = AMD) -> str:
        layout = Layout()
        entry = layout.manifest(platform, text)
        self.crane.serve(repository, tag, entry["digest"], layout.blobs)
        return str(entry["digest"])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


SHOP = "docker.io/library/shop"


def test_runtime_comes_before_archive_store_and_registry(place: Place) -> None:
    archive = docker_archive(place.folder / "a.tar", "shop:1", text="archive")
    saved = docker_archive(place.folder / "b.tar", "shop:1", text="docker")
    load_archive(place.store, docker_archive(place.folder / "c.tar", "shop:1", text="store"), AMD, silent)
    place.serve(SHOP)
    where = []
    podman = Runtime(place.bin, "podman", {"shop:1": held(saved)})
    docker = Runtime(place.bin, "docker", {"shop:1": held(saved)})
    for _ in range(2):
        where.append(place.images("a.tar").find("shop:1").source.where)
        for runtime in ("docker", "podman"):
            (place.bin / runtime).unlink(missing_ok=True)
    where.append(place.images().find("shop:1").source.where)
    with place.store.locked(silent):
        place.store.remove(["shop:1"])
    where.append(place.images().find("shop:1").source.where)
    assert [text.partition(" (")[0] for text in where] == [
        "docker has it, loaded from there",
        f"archive {archive}",
        "image store",
        "pulled by this machine from docker.io",
    ]
    assert docker.calls == ["image inspect shop:1"]
    assert podman.calls == []


def test_image_of_a_runtime_is_saved_once_for_each_content(place: Place) -> None:
    saved = docker_archive(place.folder / "b.tar", "shop:1")
    docker = Runtime(place.bin, "docker", {"shop:1": held(saved)})
    progress: list[str] = []
    bring = place.images().find("shop:1").bring
    assert bring
    first = bring(progress.append)
    assert first.name == f"{SHOP}:1"
    assert place.images().find("shop:1").bring(silent) == first  # type: ignore[misc]
    assert [call.split()[0] for call in docker.calls].count("save") == 1
    assert progress == [f"loading {SHOP}:1 from docker, 5 MB"]
    Runtime(place.bin, "docker", {"shop:1": held(docker_archive(saved, "shop:1", text="new"), "sha256:2")})
    assert place.images().find("shop:1").bring(silent).digest != first.digest  # type: ignore[misc]
    assert not list(place.store.root.glob(".saved-*"))


def test_image_under_another_name_gets_the_name_of_the_manifest(place: Place) -> None:
    """Podman stores what it builds under localhost/."""
    Runtime(place.bin, "podman", {"shop:1": held(docker_archive(place.folder / "b.tar", "localhost/shop:1"))})
    assert place.images().find("shop:1").bring(silent).name == f"{SHOP}:1"  # type: ignore[misc]


def test_runtime_with_another_platform_is_skipped(place: Place) -> None:
    Runtime(place.bin, "docker", {"shop:1": held(place.folder / "none", architecture="arm64")})
    found = place.images().find("shop:1")
    assert found.bring is None
    assert "docker has it for linux/arm64, but the nodes are linux/amd64" in found.source.missing
    place.serve(SHOP)
    assert place.images().find("shop:1").source.where.startswith("pulled by this machine")


def test_silent_runtime_is_part_of_the_reason(place: Place) -> None:
    Runtime(place.bin, "docker", {}, broken="Cannot connect to the Docker daemon. Is it running?")
    Runtime(place.bin, "podman", {})
    missing = place.images().find("shop:1").source.missing
    assert "docker: Cannot connect to the Docker daemon. Is it running?" in missing
    assert "podman does not have it" in missing
    assert "docker.io has no library/shop:1" in missing


def test_archive_is_loaded_again_only_if_it_changed(place: Place) -> None:
    path = docker_archive(place.folder / "a.tar", "shop:1")
    progress: list[str] = []
    first = place.images("a.tar").find("shop:1").bring(progress.append)  # type: ignore[misc]
    place.images("a.tar").find("shop:1").bring(progress.append)  # type: ignore[misc]
    assert progress == [f"loading {SHOP}:1 from {path}"]
    docker_archive(path, "shop:1", text="another text, which is longer")
    assert place.images("a.tar").find("shop:1").bring(silent).digest != first.digest  # type: ignore[misc]


def test_archive_for_another_platform_is_an_error(place: Place) -> None:
    docker_archive(place.folder / "a.tar", "shop:1", platform="linux/arm64")
    missing = place.images("a.tar").find("shop:1").source.missing
    assert f"archive {place.folder / 'a.tar'} has it for linux/arm64, but the nodes are linux/amd64" in missing


def test_all_wrong_archives_are_reported_together(place: Place) -> None:
    (place.folder / "b.tar").write_text("no tar")
    with pytest.raises(InputError) as caught:
        place.images("a.tar", "b.tar").find("shop:1")
    assert [problem.field for problem in caught.value.problems] == ["--load-image", "--load-image"]


def test_tag_that_moved_is_pulled_again(place: Place) -> None:
    first = place.serve(SHOP, text="old")
    assert place.images().find("shop:1").bring(silent).digest == first  # type: ignore[misc]
    second = place.serve(SHOP, text="new")
    assert place.images().find("shop:1").bring(silent).digest == second  # type: ignore[misc]
    assert place.store.images()[f"{SHOP}:1"].digest == second != first


def test_pulled_image_is_used_if_its_registry_is_away(place: Place) -> None:
    place.serve(SHOP)
    place.images().find("shop:1").bring(silent)  # type: ignore[misc]
    place.crane.fail("Error: Get https://x: dial tcp: lookup x: no such host")
    found = place.images().find("shop:1")
    assert found.source.where.startswith("image store (pulled from docker.io earlier; now docker.io cannot be reached")
    assert found.bring
    # A registry that answers is believed.
    place.crane.fail("Error: MANIFEST_UNKNOWN: manifest unknown")
    (place.crane.program.parent / "error").write_text("Error: MANIFEST_UNKNOWN: manifest unknown")
    assert place.images().find("shop:1").source.missing


def test_sources_are_searched_once_in_a_while(place: Place) -> None:
    clock = FakeClock()
    docker = Runtime(place.bin, "docker", {})
    images = place.images(clock=clock)
    for _ in range(3):
        assert images.find("shop:1").source.missing
    assert docker.calls == ["image inspect shop:1"]
    clock.advance(31)
    images.find("shop:1")
    assert len(docker.calls) == 2


def test_digest_is_not_taken_from_a_runtime(place: Place) -> None:
    digest = place.serve(SHOP)
    docker = Runtime(place.bin, "docker", {f"shop@{digest}": held(place.folder / "none")})
    assert place.images().find(f"shop@{digest}").source.where.startswith("pulled by this machine")
    assert docker.calls == []


def test_given_layout_with_the_digest_is_used(place: Place) -> None:
    layout = Layout()
    entry = layout.name(layout.manifest(), "shop:1")
    layout.write(place.folder / "a.tar")
    stored = place.images("a.tar").find(f"shop@{entry['digest']}").bring
    assert stored
    assert stored(silent).digest == entry["digest"]


def test_unknown_image_of_the_harness_is_not_searched(place: Place) -> None:
    found = place.images().find("resilience.local/podinfo:none")
    assert found.source.missing == "the harness builds no such image"
    assert place.crane.calls == []


def test_image_for_another_platform_is_not_pulled(place: Place) -> None:
    place.serve(SHOP, platform="linux/arm64")
    missing = place.images().find("shop:1").source.missing
    assert "docker.io has it for linux/arm64, but the nodes are linux/amd64" in missing


def test_name_for_an_archive(place: Place) -> None:
    docker_archive(place.folder / "a.tar")
    assert place.images("web:2=a.tar").find("web:2").bring(silent).name == "docker.io/library/web:2"  # type: ignore[misc]


def test_store_with_another_platform_is_a_reason(place: Place) -> None:
    path = docker_archive(place.folder / "c.tar", "shop:1", platform="linux/arm64")
    load_archive(place.store, path, "linux/arm64", silent, Loading())
    assert "the image store has it for linux/arm64" in place.images().find("shop:1").source.missing
