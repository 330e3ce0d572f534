"""Writes images into an archive for ``kind load image-archive`` and ``ctr images import``: an OCI layout in a tar."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.cluster.local.images import ImageSet
from harness.cluster.local.oci import BlobStore, Descriptor
from harness.cluster.local.supply.store import files_of


def write_archive(images: ImageSet, names: Iterable[str], target: Path) -> Path:
    """Write the named images into ``target`` and return it. Raises CapabilityMissing for an unknown name."""
    described = {images.reference(name): images.manifests()[name] for name in names}
    files = {blob for manifest in described.values() for blob in images.files(manifest)}
    return _write(described, files, target)


def write_image(blobs: BlobStore, root: Descriptor, reference: str, target: Path) -> Path:
    """Write one image under a whole reference into ``target`` and return it."""
    return _write({reference: root}, files_of(blobs, root), target)


def _write(described: Mapping[str, Descriptor], files: Iterable[Path], target: Path) -> Path:
    with tarfile.open(target, "w") as archive:
        for blob in sorted(set(files)):
            archive.add(blob, f"blobs/sha256/{blob.name}", filter=_plain)
        entries = [_described(manifest, reference) for reference, manifest in described.items()]
        _add(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(archive, "index.json", {"schemaVersion": 2, "manifests": entries})
    return target


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out what differs between machines, so that the same images give the same archive."""
    member.mtime, member.mode, member.uid, member.gid, member.uname, member.gname = 0, 0o644, 0, 0, "", ""
    return member


def _described(manifest: Descriptor, reference: str) -> dict[str, Any]:
    return {
        **manifest.as_json(),
        "annotations": {
            # containerd reads the whole reference from its own annotation; the OCI one holds only the tag.
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[1],
        },
    }


def _add(archive: tarfile.TarFile, name: str, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    member = tarfile.TarInfo(name)
    member.size = len(body)
    archive.addfile(member, io.BytesIO(body))
