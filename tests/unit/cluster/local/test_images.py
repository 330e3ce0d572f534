"""Images made without Docker: the same content gives the same digest, and every image can be run."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from harness.cluster.components import versions
from harness.cluster.local import images
from harness.cluster.local.archive import write_archive
from harness.cluster.local.binaries import Binaries
from harness.cluster.local.images import ImageSet
from harness.cluster.local.oci import BlobStore, Entry
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.cluster.local.supply.references import whole_reference
from harness.common.errors import CapabilityMissing


def entries(source: Path) -> list[Entry]:
    return [Entry("bin"), Entry("bin/tool", source=source), Entry("bin/alias", link="tool"), Entry("etc", text="x")]


def test_same_content_always_has_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for number in (1, 2):
        source = tmp_path / f"tool{number}"
        source.write_bytes(b"program")
        source.touch()
        digests.add(BlobStore(tmp_path / str(number)).add_layer(entries(source)).digest)
    assert len(digests) == 1


def test_different_content_has_a_different_digest(tmp_path: Path) -> None:
    source = tmp_path / "tool"
    source.write_bytes(b"one")
    first = BlobStore(tmp_path).add_layer(entries(source)).digest
    source.write_bytes(b"two")
    assert BlobStore(tmp_path).add_layer(entries(source)).digest != first


def test_blobs_are_named_by_what_is_in_them(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    blob = store.add_bytes("text/plain", b"content")
    assert blob.digest == f"sha256:{hashlib.sha256(b'content').hexdigest()}"
    assert store.path(blob.digest).read_bytes() == b"content"


def test_a_layer_keeps_owners_modes_and_links(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    layer = store.add_layer([Entry("tmp", mode=0o1777), Entry("home", owner=1000), Entry("sh", link="busybox")])
    with tarfile.open(store.path(layer.digest)) as archive:
        temporary, home, shell = archive.getmembers()
    assert (temporary.mode, home.uid, shell.linkname) == (0o1777, 1000, "busybox")


def test_image_lists_the_digests_of_its_unpacked_layers(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    layer = store.add_layer([Entry("tmp")])
    manifest = json.loads(store.path(store.add_image([layer], {}, "x86_64").digest).read_bytes())
    config = json.loads(store.path(manifest["config"]["digest"]).read_bytes())
    assert config["rootfs"]["diff_ids"] == [layer.digest]
    assert config["architecture"] == "amd64"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real catalogue, of programs that are a few bytes each."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(images, "BUSYBOX", tmp_path / "busybox")
    monkeypatch.setattr(images, "busybox_version", lambda: "1.35.0")
    monkeypatch.setattr(images, "busybox_applets", lambda: ["kill", "pidof", "ps", "sh"])
    (tmp_path / "busybox").write_bytes(b"busybox")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in versions():
        (folder / name).write_bytes(name.encode())
    own = tmp_path / "own"
    own.mkdir()
    for name in ("calibration", "cpu-burner"):
        (own / name).write_bytes(name.encode())
    monkeypatch.setattr(images.programs, "ensure", lambda _progress, components: Binaries(own, versions(components)))
    return images.ensure(Binaries(folder, versions()), lambda _message: None)


def test_image_references_use_the_registry_inside_the_cluster(made: Path) -> None:
    found = ImageSet(made)
    for name in (
        "podinfo",
        "etcd",
        "agnhost",
        "pause",
        "coredns",
        "metrics-server",
        "prometheus",
        "busybox",
        "calibration",
        "cpu-burner",
    ):
        assert found.reference(name).startswith(f"resilience.local/{name}:")


def test_unknown_image_is_refused_with_the_available_names(made: Path) -> None:
    with pytest.raises(CapabilityMissing, match=r"'nginx'.*podinfo"):
        ImageSet(made).reference("nginx")


def test_existing_image_is_not_built_again(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    binaries = Binaries(made.parents[2] / "bin", versions())
    assert images.ensure(binaries, lambda _message: None) == made
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_every_image_shares_the_layer_with_the_shell(made: Path) -> None:
    found = ImageSet(made)
    bases = {json.loads(found.blob(manifest))["layers"][0]["digest"] for manifest in found.manifests().values()}
    assert len(bases) == 1
    with tarfile.open(made / "sha256" / bases.pop().removeprefix("sha256:")) as archive:
        assert {"bin/sh", "bin/kill", "bin/pidof", "etc/passwd", "tmp"} <= set(archive.getnames())


def test_program_is_at_the_image_entry_point(made: Path) -> None:
    found = ImageSet(made)
    manifest = json.loads(found.blob(found.manifests()["prometheus"]))
    config = json.loads((made / "sha256" / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    with tarfile.open(made / "sha256" / manifest["layers"][1]["digest"].removeprefix("sha256:")) as archive:
        assert config["config"]["Entrypoint"][0].lstrip("/") in archive.getnames()


def test_image_archive_holds_its_name_and_all_manifest_entries(made: Path, tmp_path: Path) -> None:
    found = ImageSet(made)
    with tarfile.open(write_archive(found, ["prometheus"], tmp_path / "prometheus.tar")) as tar:
        listed = tar.extractfile("index.json")
        assert listed is not None
        (entry,) = json.load(listed)["manifests"]
        blobs = {name.rpartition("/")[2] for name in tar.getnames() if name.startswith("blobs/")}
    assert entry["annotations"]["io.containerd.image.name"] == found.reference("prometheus")
    body = json.loads(found.blob(found.manifests()["prometheus"]))
    parts = [entry, body["config"], *body["layers"]]
    assert blobs == {part["digest"].removeprefix("sha256:") for part in parts}


def test_a_registrys_folder_gets_every_blob(made: Path, tmp_path: Path) -> None:
    ImageSet(made).link_blobs(tmp_path / "registry")
    ImageSet(made).link_blobs(tmp_path / "registry")
    assert {path.name for path in (tmp_path / "registry/sha256").iterdir()} == {
        path.name for path in (made / "sha256").iterdir()
    }


@pytest.mark.parametrize(
    ("reference", "served"),
    [
        ("resilience.local/podinfo:1.2", True),
        # The local registry stands for every other one.
        ("ghcr.io/podinfo:1.2", True),
        ("localhost:5000/podinfo:1.2", True),
        ("resilience.local/podinfo:1.3", False),
        ("resilience.local/podinfo", False),
        ("podinfo:1.2", False),
        ("docker.io/library/nginx:1.27", False),
        (f"resilience.local/podinfo@sha256:{64 * 'a'}", True),
        (f"resilience.local/podinfo:1.2@sha256:{64 * 'b'}", False),
    ],
)  # fmt: skip
def test_images_that_the_registry_serves(tmp_path: Path, reference: str, served: bool) -> None:
    entry = {"version": "1.2", "mediaType": "m", "digest": f"sha256:{64 * 'a'}", "size": 1}
    (tmp_path / "images.json").write_text(json.dumps({"podinfo": entry}))
    assert ImageSet(tmp_path).serves(reference) is served


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("me/nginx:1", "docker.io/me/nginx:1"),
        ("quay.io/me/nginx", "quay.io/me/nginx:latest"),
        ("localhost/nginx@sha256:1", "localhost/nginx@sha256:1"),
    ],
)  # fmt: skip
def test_missing_reference_parts_are_filled_in(reference: str, whole: str) -> None:
    assert whole_reference(reference) == whole
