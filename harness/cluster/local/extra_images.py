"""Images that few experiments use: each is built at its first use, unlike those that every local cluster has."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

from harness.cluster.components import ON_DEMAND, versions
from harness.cluster.local import binaries
from harness.cluster.local.images import BUSYBOX, INDEX, NONROOT, Image, add_image, base_entries
from harness.cluster.local.locks import locked
from harness.cluster.local.oci import BlobStore
from harness.cluster.local.paths import cache_root
from harness.common.progress import Progress

# Change it with anything below that changes the content of an image.
FORMAT = "1"


def extra_images() -> dict[str, Image]:
    """Return the images by name."""
    return {
        name: Image(name, version, {f"/bin/{name}": name}, (f"/bin/{name}",), user=NONROOT)
        for name, version in versions(ON_DEMAND).items()
    }


def named(reference: str) -> str:
    """Return the name of the image with a reference, or an empty text."""
    return next((name for name, image in extra_images().items() if image.reference == reference), "")


def ensure(name: str, progress: Progress) -> Path:
    """Build an image unless it is in the cache, and return the folder for ``ImageSet``. Raises ClusterBroken."""
    wanted = [component for component in ON_DEMAND if component.name == name]
    built = binaries.ensure(progress, components=wanted)
    image = extra_images()[name]
    root = cache_root() / "extra-images" / _key(image, built.folder)
    if (root / INDEX).exists():
        return root
    with locked("images", progress, "another process is making the images: waiting for it"):
        if not (root / INDEX).exists():
            progress(f"making the image {name}")
            blobs = BlobStore(root)
            made = add_image(blobs, image, [built.folder], blobs.add_layer(base_entries()), platform.machine())
            new = root / f"{INDEX}.new"
            new.write_text(json.dumps({name: {"version": image.version, **made.as_json()}}, indent=2))
            # Written last: the index marks the image as complete.
            new.replace(root / INDEX)
    return root


def _key(image: Image, folder: Path) -> str:
    content = hashlib.sha256(f"{FORMAT} {image} {folder}".encode())
    content.update(BUSYBOX.read_bytes())
    return f"{image.name}-{content.hexdigest()[:16]}"
