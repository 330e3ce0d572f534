"""The images as one archive that ``kind load image-archive`` and ``ctr images import`` take: an OCI layout in a tar."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from harness.cluster.local.images import ImageSet


def write_archive(images: ImageSet, blobs: Path, target: Path) -> Path:
    """Write all images into ``target`` unless it is there already. ``blobs`` is the folder of the image set."""
    if target.exists():
        return target
    part = target.with_suffix(".part")
    entries = []
    with tarfile.open(part, "w") as archive:
        for blob in sorted((blobs / "sha256").iterdir()):
            archive.add(blob, f"blobs/sha256/{blob.name}")
        for name, _version, media_type, content in images.manifests():
            entries.append(_descriptor(images.reference(name), media_type, content))
        _add(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(archive, "index.json", {"schemaVersion": 2, "manifests": entries})
    part.rename(target)
    return target


def _descriptor(reference: str, media_type: str, content: bytes) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
        "annotations": {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[1],
        },
    }


def _add(archive: tarfile.TarFile, name: str, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    member = tarfile.TarInfo(name)
    member.size = len(body)
    archive.addfile(member, io.BytesIO(body))
