"""The local cluster's image store: images that a user loaded, built or pulled, kept in the cache for all clusters.

Blobs are files named by their digests, so images share layers, and an image is stored once whatever its names. An image
appears in the index only when it is whole: a kill at any moment leaves at most blobs that the next removal deletes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.cluster.local.locks import locked
from harness.cluster.local.oci import BlobStore, Descriptor
from harness.cluster.local.paths import cache_root
from harness.cluster.local.supply.archives import INDEXES, ArchivedImage, open_archive
from harness.cluster.local.supply.references import Reference, whole_reference
from harness.common.errors import ClusterBroken, InputError, Problem
from harness.common.progress import Progress

FOLDER = "image-store"
INDEX = "index.json"
# Prefix of the folders in which images of container runtimes are saved before they are loaded.
SAVED = ".saved-"
SAVED_SECONDS = 24 * 3600.0
# Longer than any single pull, see ``pull``.
LOCK_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in the store. ``origin`` is where it came from; ``source`` identifies its content there."""

    name: str
    media_type: str
    digest: str
    size: int
    platforms: tuple[str, ...]
    origin: str
    source: str = ""

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


class ImageStore:
    """Images by their whole references, in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def of_cache(cls) -> ImageStore:
        """Return the store of this user's cache."""
        return cls(cache_root() / FOLDER)

    @property
    def root(self) -> Path:
        return self._root

    @property
    def blobs(self) -> BlobStore:
        return BlobStore(self._root)

    def images(self) -> dict[str, StoredImage]:
        """Return all images by name. Raises ClusterBroken if the index is damaged."""
        path = self._root / INDEX
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {
                name: StoredImage(**{**entry, "name": name, "platforms": tuple(entry["platforms"])})
                for name, entry in found.items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ClusterBroken(
                f"{path} is damaged ({error}); delete the folder {self._root} and load the images again"
            ) from error

    def find(self, reference: str) -> StoredImage | None:
        """Return the image that a reference names, by its digest if it has one; None if it is not stored."""
        wanted, images = Reference.parse(reference), self.images()
        if not wanted.digest:
            return images.get(str(wanted))
        same = (image for image in images.values() if Reference.parse(image.name).repository == wanted.repository)
        return next((image for image in same if image.digest == wanted.digest), None)

    @contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """Hold the store for changes, so that no other process removes blobs meanwhile. Raises ClusterBroken."""
        waiting = "another process is loading images: waiting for it"
        with locked(self._root.name, progress, waiting, LOCK_SECONDS):
            yield

    def add(self, images: Sequence[StoredImage]) -> None:
        """Add whole images to the index; one of the same name is replaced. The caller holds ``locked``."""
        self._write({**self.images(), **{image.name: image for image in images}})

    def remove(self, names: Sequence[str]) -> int:
        """Remove images, and the blobs that no other image uses; return the bytes freed. The caller holds ``locked``.

        Running clusters keep theirs. Raises InputError if one is not stored; then none is removed."""
        images = self.images()
        wanted = [whole_reference(name) for name in names]
        if unknown := [name for name in wanted if name not in images]:
            known = f"expected one of: {', '.join(sorted(images))}" if images else "the store is empty"
            raise InputError([Problem(f"not in the image store, {known}", field=name) for name in unknown])
        self._write({name: image for name, image in images.items() if name not in wanted})
        return self.clean()

    def clean(self) -> int:
        """Delete all blobs that no image uses, and return their bytes. The caller holds ``locked``."""
        for folder in self._root.glob(f"{SAVED}*"):
            # Left by a killed process; a younger one may be in use.
            if time.time() - folder.stat().st_mtime > SAVED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        used = {file.name for image in self.images().values() for file in files_of(self.blobs, image.descriptor)}
        freed = 0
        for file in self.blobs.files():
            if file.name not in used:
                freed += file.stat().st_size
                file.unlink()
        return freed

    def total(self, image: StoredImage) -> int:
        """Return the bytes of an image's stored blobs."""
        return sum(file.stat().st_size for file in files_of(self.blobs, image.descriptor))

    def _write(self, images: dict[str, StoredImage]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        new = self._root / f"{INDEX}.new"
        entries = {
            name: {key: value for key, value in asdict(image).items() if key != "name"}
            for name, image in images.items()
        }
        new.write_text(json.dumps(entries, indent=2, sort_keys=True), encoding="utf-8")
        new.replace(self._root / INDEX)


def files_of(blobs: BlobStore, root: Descriptor) -> list[Path]:
    """Return the files of an image's blobs that are stored: of an index, all manifests and the content of some."""
    return list(dict.fromkeys(blobs.path(part) for part in _digests(blobs, root)))


def manifests_of(blobs: BlobStore, root: Descriptor) -> list[Descriptor]:
    """Return an image's manifests in the order in which a registry accepts them: an index comes last."""
    if root.media_type not in INDEXES:
        return [root]
    children = json.loads(blobs.path(root.digest).read_bytes())["manifests"]
    return [*(Descriptor(each["mediaType"], each["digest"], each["size"]) for each in children), root]


def _digests(blobs: BlobStore, root: Descriptor) -> Iterator[str]:
    for manifest in manifests_of(blobs, root):
        file = blobs.path(manifest.digest)
        if not file.exists():
            continue
        yield manifest.digest
        body: dict[str, Any] = json.loads(file.read_bytes())
        for part in filter(None, (body.get("config"), *body.get("layers", ()))):
            if blobs.path(part["digest"]).exists():
                yield part["digest"]


@dataclass(frozen=True, slots=True)
class Loading:
    """What to load from an archive: all its images, those named in ``only``, or its only image under ``name``.

    ``origin`` and ``source`` are stored with the images, see ``StoredImage``.
    """

    name: str = ""
    only: frozenset[str] = frozenset()
    origin: str = ""
    source: str = ""

    def names_of(self, image: ArchivedImage) -> list[str]:
        """Return the whole references under which an image is stored; empty if it is not wanted."""
        names = [whole_reference(self.name)] if self.name else list(image.names)
        return [name for name in names if not self.only or name in self.only]


def load_archive(
    store: ImageStore, path: Path, platform: str, progress: Progress, what: Loading | None = None
) -> list[StoredImage]:
    """Load images of an archive into the store. Raises InputError, ClusterBroken.

    ``platform`` is that of the nodes, such as linux/amd64."""
    what = what or Loading()
    with store.locked(progress), open_archive(path) as archive:
        images = archive.images()
        check_names(path, images, what.name)
        wanted = [(image, names) for image in images if (names := what.names_of(image))]
        check_platforms(path, [image for image, _ in wanted], platform)
        loaded = []
        for image, names in wanted:
            root = archive.store(image, store.blobs, platform)
            origin = what.origin or f"archive {path}"
            loaded += [
                StoredImage(name, root.media_type, root.digest, root.size, image.platforms, origin, what.source)
                for name in names
            ]
        store.add(loaded)
    return loaded


def check_names(path: Path, images: Sequence[ArchivedImage], name: str) -> None:
    """Raise InputError if the images of an archive cannot be named."""
    if name and len(images) > 1:
        raise InputError([Problem(f"contains {len(images)} images, expected one for the name {name}", path)])
    if not name and any(not image.names for image in images):
        raise InputError([Problem("contains an image without a name: load it as NAME=FILE", path)])


def check_platforms(path: Path, images: Sequence[ArchivedImage], platform: str) -> None:
    """Raise InputError with all images of an archive that have no variant for a platform."""
    wrong = [image for image in images if platform not in image.platforms]
    if wrong:
        raise InputError([
            Problem(
                f"{' '.join(image.names) or 'its image'} is for {', '.join(image.platforms) or 'an unknown platform'}, "
                f"but the nodes are {platform}",
                path,
            )
            for image in wrong
        ])  # fmt: skip
