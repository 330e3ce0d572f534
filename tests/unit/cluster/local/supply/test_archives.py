"""Image archives: both forms, several platforms, and what is wrong in one."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from harness.cluster.local.oci import BlobStore, Descriptor
from harness.cluster.local.supply.archives import Archive, open_archive
from harness.cluster.local.supply.store import files_of
from harness.common.errors import InputError
from tests.unit.cluster.local.supply.image_archives import (
    Layout,
    digest,
    docker_archive,
    docker_files,
    layer,
    write_tar,
)

AMD, ARM = "linux/amd64", "linux/arm64"


def stored(path: Path, blobs: BlobStore, platform: str = AMD) -> Descriptor:
    with open_archive(path) as archive:
        (image,) = archive.images()
        return archive.store(image, blobs, platform)


def names_in(path: Path) -> list[tuple[str, ...]]:
    with open_archive(path) as archive:
        return [image.names for image in archive.images()]


def test_docker_archive_gets_a_manifest(tmp_path: Path) -> None:
    path, blobs = docker_archive(tmp_path / "a.tar", "shop:1", "shop:latest"), BlobStore(tmp_path)
    assert names_in(path) == [("docker.io/library/shop:1", "docker.io/library/shop:latest")]
    root = stored(path, blobs)
    manifest = json.loads(blobs.path(root.digest).read_bytes())
    assert [each["digest"] for each in manifest["layers"]] == [digest(layer("hello")), digest(layer("second", True))]
    assert [each["mediaType"].rpartition(".")[2] for each in manifest["layers"]] == ["tar", "tar+gzip"]
    assert len(files_of(blobs, root)) == 4
    # The same content has the same digest.
    assert stored(docker_archive(tmp_path / "b.tar", "other:2"), BlobStore(tmp_path / "b")) == root


def test_layer_that_occurs_twice_may_be_a_link(tmp_path: Path) -> None:
    files = docker_files(["shop:1"])
    del files["two/layer.tar"]
    path = write_tar(tmp_path / "a.tar", files)
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("two/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../one/layer.tar"
        tar.addfile(link)
    blobs = BlobStore(tmp_path)
    layers = json.loads(blobs.path(stored(path, blobs).digest).read_bytes())["layers"]
    assert layers[0]["digest"] == layers[1]["digest"] == digest(layer("hello"))


@pytest.mark.parametrize("form", ["tar", "tar.gz", "folder"])
def test_layout_keeps_its_digest(tmp_path: Path, form: str) -> None:
    layout = Layout()
    entry = layout.name(layout.manifest(), "quay.io/shop/web:2")
    path = layout.unpack(tmp_path / "layout") if form == "folder" else layout.write(tmp_path / "a.tar")
    if form == "tar.gz":
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert names_in(path) == [("quay.io/shop/web:2",)]
    blobs = BlobStore(tmp_path)
    assert stored(path, blobs).digest == entry["digest"]
    assert blobs.path(entry["digest"]).exists()


def test_index_is_kept_with_the_content_of_one_platform(tmp_path: Path) -> None:
    layout, blobs = Layout(), BlobStore(tmp_path)
    entry = layout.name(layout.index(AMD, ARM), "shop:1")
    path = layout.write(tmp_path / "a.tar")
    with open_archive(path) as archive:
        assert archive.images()[0].platforms == (AMD, ARM)
    root = stored(path, blobs, ARM)
    assert root.digest == entry["digest"]
    contents = {file.read_bytes() for file in files_of(blobs, root)}
    assert layer(f"for {ARM}") in contents
    assert layer(f"for {AMD}") not in contents


def test_index_without_all_manifests_becomes_one_manifest(tmp_path: Path) -> None:
    """`docker save` of one platform writes the index of all."""
    layout, blobs = Layout(), BlobStore(tmp_path)
    entry = layout.name(layout.index(AMD, ARM), "shop:1")
    children = json.loads(layout.blobs[entry["digest"]])["manifests"]
    del layout.blobs[children[1]["digest"]]
    path = layout.write(tmp_path / "a.tar")
    assert stored(path, blobs).digest == children[0]["digest"]
    with pytest.raises(InputError, match=r"has no image for linux/s390x, only for linux/amd64"):
        stored(path, blobs, "linux/s390x")


def test_all_tags_of_a_new_docker_archive_are_known(tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.manifest(), "docker.io/library/shop:1")
    tags = json.dumps([{"Config": "c", "RepoTags": ["shop:1", "shop:two"], "Layers": []}]).encode()
    path = write_tar(tmp_path / "a.tar", {**layout.files(), "manifest.json": tags})
    assert names_in(path) == [("docker.io/library/shop:1", "docker.io/library/shop:two")]


def test_name_that_is_only_a_tag_is_no_name(tmp_path: Path) -> None:
    layout = Layout()
    layout.entries.append({**layout.manifest(), "annotations": {"org.opencontainers.image.ref.name": "latest"}})
    assert names_in(layout.write(tmp_path / "a.tar")) == [()]


def test_damaged_blob_is_refused(tmp_path: Path) -> None:
    layout, blobs = Layout(), BlobStore(tmp_path)
    layout.name(layout.manifest(), "shop:1")
    files = layout.files()
    files[f"blobs/{digest(layer('hello')).replace(':', '/')}"] = layer("other")
    path = write_tar(tmp_path / "a.tar", files)
    with pytest.raises(InputError, match="damaged: blobs/sha256/"):
        stored(path, blobs)
    assert not blobs.path(digest(layer("hello"))).exists()


def without(name: str, names: list[str] | None = None) -> dict[str, bytes]:
    return {key: body for key, body in docker_files(names or ["shop:1"]).items() if key != name}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme": b"x"}, "found neither index.json with oci-layout nor manifest.json"),
        (without("one/layer.tar"), "one/layer.tar is missing"),
        (without("c.json"), "c.json is missing"),
        ({"manifest.json": b"{"}, "manifest.json is not readable"),
        ({"manifest.json": b"[]"}, "contains no image"),
        ({"manifest.json": b"[1]"}, "is not a whole image archive"),
        ({"manifest.json": b'[{"Config": "c"}]', "c": b"[]"}, "is not a whole image archive"),
        ({"oci-layout": b"", "index.json": b'{"manifests": [{"digest": "sha256:../x"}]}'}, "expected sha256"),
        ({"oci-layout": b"", "index.json": b"{}"}, "contains no image"),
    ],
)
def test_wrong_archive_is_one_clear_error(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    path = write_tar(tmp_path / "a.tar", files)
    with pytest.raises(InputError, match=message) as caught:
        stored(path, BlobStore(tmp_path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", gzip.compress(b"x" * 2000, mtime=0)[:20], b"\x1f\x8b\x08"],
    ids=["empty", "text", "cut", "head"],
)
def test_file_that_is_no_tar_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match="expected an archive of `docker save`"):
        stored(tmp_path / "a.tar", BlobStore(tmp_path))


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"), open_archive(tmp_path / "a.tar"):
        pass


def test_large_json_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.local.supply.archives._LARGEST_JSON", 10)
    with pytest.raises(InputError, match=r"manifest.json is too large"):
        names_in(docker_archive(tmp_path / "a.tar", "shop:1"))


def test_nothing_outside_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    layout = Layout().unpack(tmp_path / "layout")
    with open_archive(layout) as archive:
        assert isinstance(archive, Archive)
        with pytest.raises(InputError, match="is missing"):
            archive._read("../secret")


def test_stream_with_another_digest_is_not_stored(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    found = blobs.add_stream("x", io.BytesIO(b"body"), digest(b"other"))
    assert found.digest == digest(b"body")
    assert blobs.files() == []
