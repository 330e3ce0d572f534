"""The harness's images in the nodes of a kind cluster: each is loaded at its first use.

Loading unpacks an image in every node, which takes about 4 s for each larger one on two cores, and a run needs few.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path

from harness.cluster.kind import commands as kind
from harness.cluster.local import binaries, extra_images, images, runner_image
from harness.cluster.local.archive import write_archive
from harness.cluster.local.images import ImageSet
from harness.cluster.local.packages import is_static
from harness.common.errors import CapabilityMissing
from harness.common.progress import Lines, Progress


class NodeImages:
    """The images in the nodes of one cluster."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._loaded: set[str] = set()

    def reference(self, name: str) -> str:
        """Load an image into the nodes if needed, and return its reference for a pod's spec.

        Raises CapabilityMissing or ClusterBroken.
        """
        if name in extra_images.extra_images():
            self._require_busybox()
            return self._load(ImageSet(extra_images.ensure(name, Lines())), name)
        return self._load(self._made, name)

    def runner(self, progress: Progress) -> str:
        """Load the image of the load generator into the nodes if needed, and return its reference.

        Raises CapabilityMissing or ClusterBroken.
        """
        root = runner_image.ensure(progress)
        if runner_image.NAME not in self._loaded:
            progress("loading the image of the load generator into the nodes")
        return self._load(ImageSet(root), runner_image.NAME)

    def _load(self, images: ImageSet, name: str) -> str:
        if name not in self._loaded:
            with tempfile.TemporaryDirectory(prefix="resilience-image-") as folder:
                kind.load_images(self._cluster, write_archive(images, [name], Path(folder) / f"{name}.tar"))
            self._loaded.add(name)
        return images.reference(name)

    def _require_busybox(self) -> None:
        # A dynamically linked busybox would work on this machine but in no container: the images have no libraries.
        if not images.BUSYBOX.exists() or not is_static(images.BUSYBOX):
            raise CapabilityMissing(
                f"the images of the harness need a static {images.BUSYBOX} (Debian: busybox-static)"
            )

    @cached_property
    def _made(self) -> ImageSet:
        self._require_busybox()
        # Programs and images only: kind does not need root and the other requirements of a local cluster.
        return ImageSet(images.ensure(binaries.ensure(Lines()), Lines()))
