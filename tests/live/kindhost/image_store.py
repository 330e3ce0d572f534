"""The node image as a Docker daemon keeps it, so that loading it (12 s of unpacking) is done once, not for each daemon.

Layers are only ever read, below what containers write, so that a daemon gets them as links; what the daemon knows about
them is its own copy.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.cluster.local.locks import locked
from harness.cluster.local.processes import run
from tests.live.kindhost.node_image import NodeImage

# Of a daemon's folder: what its storage driver keeps, and its lists of images and layers.
LAYERS, LISTS = "overlay2", "image"


def restore(image: NodeImage, data: Path) -> bool:
    """Give a daemon that has not started yet the image. False when it is not kept, or cannot be linked: load it."""
    kept = _place(image)
    data.mkdir(parents=True, exist_ok=True)
    if not kept.exists() or kept.stat().st_dev != data.stat().st_dev:
        return False
    run(["cp", "--archive", "--link", str(kept / LAYERS), str(data)], f"link the layers of the node image to {data}")
    run(["cp", "--archive", str(kept / LISTS), str(data)], f"copy the list of images to {data}")
    return True


def keep(image: NodeImage, data: Path) -> None:
    """Keep what a daemon made of the image it was just loaded with, unless it uses a storage of another kind."""
    kept = _place(image)
    if not (data / LISTS / LAYERS / "repositories.json").exists() or kept.parent.stat().st_dev != data.stat().st_dev:
        return
    with locked("kindhost-store", lambda _: None, ""):
        for older in kept.parent.glob("store-*"):
            shutil.rmtree(older)
        work = kept.with_name(f".{kept.name}.{os.getpid()}")
        work.mkdir()
        run(["cp", "--archive", "--link", str(data / LAYERS), str(work)], "keep the layers of the node image")
        run(["cp", "--archive", str(data / LISTS), str(work)], "keep the list of images")
        work.rename(kept)


def _place(image: NodeImage) -> Path:
    return image.folder.with_name(f"store-{image.folder.name.removeprefix('image-')}")
