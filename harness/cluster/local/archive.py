"""Images as one archive that ``kind load image-archive`` and ``ctr images import`` take: an OCI layout in a tar."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.cluster.local.images import ImageSet
from harness.cluster.local.oci import Descriptor


def write_archive(images: ImageSet, names: Iterable[str], target: Path) -> Path:
    """Write these images into ``target``. Raises CapabilityMissing for a name that is not among them."""
    described = {images.reference(name): images.manifests()[name] for name in names}
    with tarfile.open(target, "w") as archive:
        for blob in sorted({blob for manifest in described.values() for blob in images.files(manifest)}):
            archive.add(blob, f"blobs/sha256/{blob.name}")
        entries = [_described(manifest, reference) for reference, manifest in described.items()]
        _add(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(archive, "index.json", {"schemaVersion": 2, "manifests": entries})
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
