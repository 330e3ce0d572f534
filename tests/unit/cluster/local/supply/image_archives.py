"""Small image archives for tests: as `docker save` writes them, and OCI layouts for one or several platforms."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def layer(text: str, compressed: bool = False) -> bytes:
    """Return a layer with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("text")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0) if compressed else buffer.getvalue()


def config(platform: str = "linux/amd64") -> bytes:
    system, _, architecture = platform.partition("/")
    return json.dumps({"os": system, "architecture": architecture, "rootfs": {"type": "layers"}}).encode()


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return path


def docker_files(names: Sequence[str], platform: str = "linux/amd64", text: str = "hello") -> dict[str, bytes]:
    """Return the files of an archive of `docker save`, before version 25."""
    listed = [{"Config": "c.json", "RepoTags": list(names), "Layers": ["one/layer.tar", "two/layer.tar"]}]
    return {
        "c.json": config(platform),
        "one/layer.tar": layer(text),
        "two/layer.tar": layer("second", compressed=True),
        "manifest.json": json.dumps(listed).encode(),
    }


def docker_archive(path: Path, *names: str, platform: str = "linux/amd64", text: str = "hello") -> Path:
    return write_tar(path, docker_files(names, platform, text))


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def described(body: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(body), "size": len(body), **more}


class Layout:
    """An OCI layout that is put together blob by blob."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.entries: list[dict[str, Any]] = []

    def blob(self, body: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        self.blobs[digest(body)] = body
        return described(body, media_type, **more)

    def manifest(self, variant: str = "linux/amd64", text: str = "hello", **more: Any) -> dict[str, Any]:
        """Add an image for one platform and return the descriptor of its manifest."""
        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(config(variant), CONFIG),
            "layers": [self.blob(layer(text), LAYER)],
        }
        return self.blob(json.dumps(body).encode(), MANIFEST, **more)

    def index(self, *platforms: str) -> dict[str, Any]:
        """Add an image for several platforms and return the descriptor of its index."""
        children = []
        for variant in platforms:
            system, _, architecture = variant.partition("/")
            where = {"os": system, "architecture": architecture}
            children.append(self.manifest(variant, f"for {variant}", platform=where))
        return self.blob(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).encode(), INDEX)

    def name(self, entry: dict[str, Any], name: str = "") -> dict[str, Any]:
        """List an image in the layout, under a name."""
        annotations = {"annotations": {"io.containerd.image.name": name}} if name else {}
        self.entries.append({**entry, **annotations})
        return entry

    def files(self) -> dict[str, bytes]:
        blobs = {f"blobs/{number.replace(':', '/')}": body for number, body in self.blobs.items()}
        index = json.dumps({"schemaVersion": 2, "manifests": self.entries}).encode()
        return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **blobs}

    def write(self, path: Path) -> Path:
        return write_tar(path, self.files())

    def unpack(self, folder: Path) -> Path:
        for name, body in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(body)
        return folder


def silent(_message: str) -> None:
    """Report no progress."""
