"""Images in the nodes of kind: only those that are asked for, and each once."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from harness.cluster.kind import images
from harness.cluster.kind.images import NodeImages
from harness.cluster.local.images import INDEX
from harness.cluster.local.oci import BlobStore, Entry
from harness.common.errors import CapabilityMissing


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Cluster and reference of every image that was loaded, with two images to load."""
    store, seen = BlobStore(tmp_path), []
    index = {
        name: {"version": "1", **store.add_image([store.add_layer([Entry(name, text=name)])], {}, "x86_64").as_json()}
        for name in ("podinfo", "prometheus")
    }
    (tmp_path / INDEX).write_text(json.dumps(index))
    (tmp_path / "busybox").write_bytes(b"\x7fELF")
    monkeypatch.setattr(images.images, "BUSYBOX", tmp_path / "busybox")
    monkeypatch.setattr(images.binaries, "ensure", lambda _progress: None)
    monkeypatch.setattr(images.images, "ensure", lambda _binaries, _progress: tmp_path)

    def load(cluster: str, archive: Path) -> None:
        with tarfile.open(archive) as tar:
            listed = tar.extractfile("index.json")
            assert listed is not None
            (entry,) = json.load(listed)["manifests"]
        seen.append((cluster, entry["annotations"]["io.containerd.image.name"]))

    monkeypatch.setattr(images.kind, "load_images", load)
    return seen


def test_image_is_loaded_alone_on_first_use(loaded: list[tuple[str, str]]) -> None:
    nodes = NodeImages("mine")
    assert loaded == []
    assert nodes.reference("podinfo") == nodes.reference("podinfo") == "resilience.local/podinfo:1"
    assert loaded == [("mine", "resilience.local/podinfo:1")]


def test_an_image_that_does_not_exist_is_a_missing_capability(loaded: list[tuple[str, str]]) -> None:
    with pytest.raises(CapabilityMissing, match=r"no image 'nginx'.*podinfo, prometheus"):
        NodeImages("mine").reference("nginx")
    assert loaded == []


def test_missing_busybox_is_reported(loaded: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.images, "BUSYBOX", Path("/nowhere"))
    with pytest.raises(CapabilityMissing, match="Debian: busybox-static"):
        NodeImages("mine").reference("podinfo")


def test_busybox_that_cannot_start_in_a_container_is_reported(loaded: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(b"\x7fELF" + b"\0" * 500 + b"/lib64/ld-linux-x86-64.so.2\0")
    with pytest.raises(CapabilityMissing, match=r"a static .*busybox \(Debian: busybox-static\)"):
        NodeImages("mine").reference("podinfo")
    assert loaded == []
