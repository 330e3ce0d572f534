"""The harness's own images in the nodes of a kind cluster: each is loaded when it is first asked for.

Loading unpacks an image in every node, some four seconds for each of the larger ones on two cores, and a run needs few.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path

from harness.cluster.kind import commands as kind
from harness.cluster.local import binaries, images
from harness.cluster.local.archive import write_archive
from harness.cluster.local.images import ImageSet
from harness.cluster.local.packages import is_static
from harness.cluster.local.progress import Lines
from harness.errors import CapabilityMissing


class NodeImages:
    """The images of one cluster's nodes."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._loaded: set[str] = set()

    def reference(self, name: str) -> str:
        """What a pod asks for, which the nodes have from now on. Raises CapabilityMissing, ClusterBroken."""
        reference = self._made.reference(name)
        if name not in self._loaded:
            with tempfile.TemporaryDirectory(prefix="resilience-image-") as folder:
                kind.load_images(self._cluster, write_archive(self._made, [name], Path(folder) / f"{name}.tar"))
            self._loaded.add(name)
        return reference

    @cached_property
    def _made(self) -> ImageSet:
        # One that loads shared libraries would start here and fail in every container, which has none.
        if not images.BUSYBOX.exists() or not is_static(images.BUSYBOX):
            raise CapabilityMissing(
                f"the images of the harness need a static {images.BUSYBOX} (Debian: busybox-static)"
            )
        # Programs and images only: what else a local cluster needs of a machine, root among it, kind does not.
        return ImageSet(images.ensure(binaries.ensure(Lines()), Lines()))
