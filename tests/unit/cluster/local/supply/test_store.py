"""The image store: loading archives, names, removal, and damage."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.cluster.local.paths import CACHE_VARIABLE
from harness.cluster.local.supply.store import ImageStore, Loading, files_of, load_archive
from harness.common.errors import ClusterBroken, InputError
from tests.unit.cluster.local.supply.image_archives import Layout, docker_archive, silent

AMD = "linux/amd64"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return ImageStore.of_cache()


def test_loaded_image_is_found_by_all_of_its_names(store: ImageStore, tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "a.tar", "shop:1", "quay.io/shop/web:2")
    loaded = load_archive(store, path, AMD, silent)
    assert [image.name for image in loaded] == ["docker.io/library/shop:1", "quay.io/shop/web:2"]
    again = ImageStore.of_cache()
    assert again.find("shop:1") == loaded[0]
    assert again.find(f"quay.io/shop/web@{loaded[1].digest}") == loaded[1]
    assert again.find(f"quay.io/shop/other@{loaded[1].digest}") is None
    assert again.find("shop:2") is None
    assert again.total(loaded[0]) == sum(file.stat().st_size for file in store.blobs.files())


def test_name_is_given_to_a_nameless_image(store: ImageStore, tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "a.tar")
    with pytest.raises(InputError, match="image without a name: load it as NAME=FILE"):
        load_archive(store, path, AMD, silent)
    (image,) = load_archive(store, path, AMD, silent, Loading("web:3"))
    assert image.name == "docker.io/library/web:3"


def test_one_name_for_two_images_is_refused(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.manifest(text="a"), "a:1")
    layout.name(layout.manifest(text="b"), "b:1")
    with pytest.raises(InputError, match="contains 2 images, expected one for the name web"):
        load_archive(store, layout.write(tmp_path / "a.tar"), AMD, silent, Loading("web"))
    assert store.images() == {}


def test_only_the_named_image_is_loaded(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.manifest(text="a"), "a:1")
    layout.name(layout.manifest("linux/arm64", "b"), "b:1")
    path, only = layout.write(tmp_path / "a.tar"), frozenset({"docker.io/library/a:1"})
    assert [image.name for image in load_archive(store, path, AMD, silent, Loading(only=only))] == list(only)


def test_other_platform_is_refused_before_loading(store: ImageStore, tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "a.tar", "shop:1", platform="linux/arm64")
    with pytest.raises(InputError, match=r"shop:1 is for linux/arm64, but the nodes are linux/amd64"):
        load_archive(store, path, AMD, silent)
    assert store.blobs.files() == []


def test_removal_keeps_what_other_images_use(store: ImageStore, tmp_path: Path) -> None:
    load_archive(store, docker_archive(tmp_path / "a.tar", "shop:1", text="a"), AMD, silent)
    (kept,) = load_archive(store, docker_archive(tmp_path / "b.tar", "shop:2", text="b"), AMD, silent)
    (store.root / "sha256" / ".99.new").write_bytes(b"left by a killed process")
    with store.locked(silent):
        assert store.remove(["shop:1"]) > 0
    assert list(store.images()) == ["docker.io/library/shop:2"]
    assert set(store.blobs.files()) == set(files_of(store.blobs, kept.descriptor))


def test_old_folder_of_a_killed_save_is_removed(store: ImageStore) -> None:
    for name, age in ((".saved-old", 2 * 24 * 3600), (".saved-new", 60)):
        (store.root / name).mkdir(parents=True)
        os.utime(store.root / name, (time.time() - age,) * 2)
    with store.locked(silent):
        store.clean()
    assert [path.name for path in store.root.glob(".saved-*")] == [".saved-new"]


def test_removal_of_an_unknown_image_removes_nothing(store: ImageStore, tmp_path: Path) -> None:
    load_archive(store, docker_archive(tmp_path / "a.tar", "shop:1"), AMD, silent)
    with pytest.raises(InputError, match=r"shop:9: not in the image store, expected one of: docker.io/library/shop:1"):
        store.remove(["shop:1", "shop:9"])
    assert store.find("shop:1")


def test_damaged_index_is_reported(store: ImageStore) -> None:
    store.root.mkdir(parents=True)
    (store.root / "index.json").write_text('{"a": 1}')
    with pytest.raises(ClusterBroken, match="is damaged"):
        store.images()
