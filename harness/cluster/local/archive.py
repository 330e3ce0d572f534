"""The images as one archive that ``kind load image-archive`` and ``ctr images import`` take: an OCI layout in a tar."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from harness.cluster.local.images import ImageSet
from harness.cluster.local.oci import Descriptor


def write_archive(images: ImageSet, blobs: Path, target: Path) -> Path:
    """Write all images into ``target`` unless it is there already. ``blobs`` is the folder of the image set."""
    if target.exists():
        return target
    part = target.with_suffix(".part")
    entries = []
    with tarfile.open(part, "w") as archive:
        for blob in sorted((blobs / "sha256").iterdir()):
            archive.add(blob, f"blobs/sha256/{blob.name}")
        for name, manifest in images.manifests().items():
            entries.append(_described(manifest, images.reference(name)))
        _add(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(archive, "index.json", {"schemaVersion": 2, "manifests": entries})
    part.rename(target)
    return target


def _described(manifest: Descriptor, reference: str) -> dict[str, Any]:
    return {
        **manifest.as_json(),
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
