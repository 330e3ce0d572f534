"""Images that few experiments use: each is built at its first use, unlike those that every local cluster has."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path

from harness.cluster.components import ON_DEMAND, versions
from harness.cluster.local import binaries
from harness.cluster.local.images import BUSYBOX, INDEX, NONROOT, Image, add_image, base_entries
from harness.cluster.local.locks import locked
from harness.cluster.local.oci import BlobStore, Descriptor
from harness.cluster.local.paths import cache_root
from harness.cluster.local.supply.build import debian_layer, debian_root
from harness.common.progress import Progress

# Change it with anything below that changes the content of an image.
FORMAT = "1"
# Images of Debian packages: the version of what they are for, the packages, and the command.
_DEBIAN = {
    "redis": ("7.0.15", ("redis-server", "redis-tools"), ("redis-server", "--protected-mode", "no")),
    "stress-ng": ("0.15.06", ("stress-ng",), ("stress-ng",)),
}


def extra_images() -> dict[str, Image]:
    """Return the images by name."""
    built = {
        name: Image(name, version, {f"/bin/{name}": name}, (f"/bin/{name}",), user=NONROOT)
        for name, version in versions(ON_DEMAND).items()
    }
    packaged = {
        name: Image(name, version, arguments=command, user=NONROOT, folder="/tmp")  # noqa: S108 - in the image
        for name, (version, _, command) in _DEBIAN.items()
    }
    return built | packaged


def named(reference: str) -> str:
    """Return the name of the image with a reference, or an empty text."""
    return next((name for name, image in extra_images().items() if image.reference == reference), "")


def ensure(name: str, progress: Progress) -> Path:
    """Build an image unless it is in the cache, and return the folder for ``ImageSet``. Raises ClusterBroken."""
    image = extra_images()[name]
    if name in _DEBIAN:
        debian = debian_root(_DEBIAN[name][1], progress)
        return _ensure(image, debian, lambda blobs: debian_layer(debian, blobs), progress)
    wanted = [component for component in ON_DEMAND if component.name == name]
    folder = binaries.ensure(progress, components=wanted).folder
    return _ensure(image, folder, lambda blobs: blobs.add_layer(base_entries()), progress)


def _ensure(image: Image, source: Path, base: Callable[[BlobStore], Descriptor], progress: Progress) -> Path:
    """Make an image of the programs in a folder, or of a Debian root, unless it is in the cache."""
    root = cache_root() / "extra-images" / _key(image, source)
    if (root / INDEX).exists():
        return root
    with locked("images", progress, "another process is making the images: waiting for it"):
        if not (root / INDEX).exists():
            progress(f"making the image {image.name}")
            blobs = BlobStore(root)
            made = add_image(blobs, image, [source], base(blobs), platform.machine())
            new = root / f"{INDEX}.new"
            new.write_text(json.dumps({image.name: {"version": image.version, **made.as_json()}}, indent=2))
            # Written last: the index marks the image as complete.
            new.replace(root / INDEX)
    return root


def _key(image: Image, source: Path) -> str:
    content = hashlib.sha256(f"{FORMAT} {image} {source}".encode())
    content.update(BUSYBOX.read_bytes())
    return f"{image.name}-{content.hexdigest()[:16]}"
