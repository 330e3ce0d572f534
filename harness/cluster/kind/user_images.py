"""Brings a user's images into the nodes of a kind cluster: from this machine's container runtimes, or from archives.

An image reaches ``kind load`` as an OCI archive for the nodes' platform only, under the name that the manifest has:
what the runtimes save may have another name (Podman), or lack the content of other platforms that its index names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.cluster.images import ImageSource
from harness.cluster.kind import commands as kind
from harness.cluster.local.archive import write_image
from harness.cluster.local.images import REGISTRY_HOST
from harness.cluster.local.oci import BlobStore
from harness.cluster.local.supply.archives import open_archive
from harness.cluster.local.supply.given import GivenImage, GivenImages
from harness.cluster.local.supply.references import Reference, whole_reference
from harness.cluster.local.supply.runtimes import HeldImage, Runtimes, save
from harness.common.errors import ClusterBroken, InputError, Problem
from harness.common.progress import Progress

PULL_SECONDS = 900.0


class ImagesToLoad:
    """The images of a user for one cluster. ``platform`` is that of its nodes, such as linux/amd64."""

    def __init__(self, cluster: str, given: GivenImages, platform: str, runtimes: Runtimes | None = None) -> None:
        self._cluster = cluster
        self._given = given
        self._platform = platform
        self._runtimes = runtimes or Runtimes()
        self._loaded: dict[str, str] = {}

    def source(self, reference: str) -> ImageSource:
        """Return where the nodes get an image. Raises InputError if a given archive is wrong."""
        if Reference.parse(reference).host == REGISTRY_HOST:
            return ImageSource(reference, "built by the harness, loaded into the nodes")
        if held := self._held(reference):
            where = f"{held.runtime} has it, loaded into the nodes ({held.size / 1e6:.0f} MB)"
            return ImageSource(reference, where, on_nodes=True)
        given = self._given.find(reference)
        if given is None:
            return ImageSource(reference, "pulled by the nodes")
        if self._platform in given.image.platforms:
            return ImageSource(reference, f"archive {given.archive}, loaded into the nodes", on_nodes=True)
        there = ", ".join(given.image.platforms) or "an unknown platform"
        why = f"archive {given.archive} has it for {there}, but the nodes are {self._platform}"
        return ImageSource(reference, "", why)

    def bring(self, references: Sequence[str], progress: Progress) -> None:
        """Load images into all nodes: those named, and all that were given. Raises ClusterBroken, InputError."""
        wanted = {whole_reference(each): each for each in [*self._given.images(), *references]}
        for reference in wanted.values():
            self._bring(reference, progress)
        for reference in self._given.references:
            if not self._bring(reference, progress):
                self._pull(reference, progress)
                self._bring(reference, progress)

    def _bring(self, reference: str, progress: Progress) -> bool:
        if Reference.parse(reference).host == REGISTRY_HOST:
            return True
        if held := self._held(reference):
            if self._loaded.get(reference) != held.id:
                progress(f"loading {reference} from {held.runtime} into the nodes, {held.size / 1e6:.0f} MB")
                with tempfile.TemporaryDirectory(prefix="resilience-image-") as folder:
                    archive = Path(folder) / "saved.tar"
                    save(held, archive)
                    self._load(archive, reference, None)
                self._loaded[reference] = held.id
            return True
        if given := self._given.find(reference):
            if self._loaded.get(reference) != str(given.archive):
                progress(f"loading {reference} from {given.archive} into the nodes")
                self._load(given.archive, reference, given)
                self._loaded[reference] = str(given.archive)
            return True
        return False

    def _held(self, reference: str) -> HeldImage | None:
        # A loaded image has another digest than in its registry: the node would pull it nevertheless.
        held = None if Reference.parse(reference).digest else self._runtimes.find(reference)
        return held if held and held.platform == self._platform else None

    def _load(self, archive: Path, reference: str, given: GivenImage | None) -> None:
        whole = whole_reference(reference)
        with tempfile.TemporaryDirectory(prefix="resilience-image-") as folder, open_archive(archive) as opened:
            images = opened.images()
            wanted = given.image.names if given else ()
            image = next((each for each in images if each.names == wanted), images[0])
            blobs = BlobStore(Path(folder) / "blobs")
            # kind imports all platforms of an index, and newer containerd fails if the content of one is not there:
            # https://github.com/kubernetes-sigs/kind/issues/3795
            root = opened.store(image, blobs, self._platform, keep_index=False)
            kind.load_images(self._cluster, write_image(blobs, root, whole, Path(folder) / "image.tar"))

    def _pull(self, reference: str, progress: Progress) -> None:
        if not self._runtimes.names:
            raise InputError([Problem("no container runtime can pull it", field=f"--load-image {reference}")])
        runtime = self._runtimes.names[0]
        progress(f"pulling {reference} with {runtime}")
        try:
            kind.run([runtime, "pull", reference], PULL_SECONDS)
        except ClusterBroken as error:
            raise InputError([Problem(str(error), field=f"--load-image {reference}")]) from error
