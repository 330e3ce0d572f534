"""Finds images for a local cluster, and brings them into the image store.

The order: the harness's own; this machine's container runtimes; given archives; the image store; the image's registry,
pulled by this machine. A source that has the image only for another platform, or without its digest, is skipped,
and its reason is part of the error if no other source has it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.images import ImageSource
from harness.cluster.local.images import REGISTRY_HOST, ImageSet
from harness.cluster.local.supply.given import GivenImage, GivenImages
from harness.cluster.local.supply.pull import Puller, PullFailed, Resolved
from harness.cluster.local.supply.references import Reference, whole_reference
from harness.cluster.local.supply.runtimes import HeldImage, Runtimes, save
from harness.cluster.local.supply.store import SAVED, ImageStore, Loading, StoredImage, load_archive
from harness.common.clock import Clock, SystemClock
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress

PULLED = "pulled from"
OWN = "built by the harness"
KEPT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image's source, and how to bring it into the store; None if there is nothing to bring."""

    source: ImageSource
    bring: Callable[[Progress], StoredImage] | None = None


class LocalImages:
    """The sources of local clusters. ``platform`` is that of their nodes, such as linux/amd64.

    ``own`` are the harness's images in the cluster, None without a cluster.
    """

    def __init__(
        self,
        own: ImageSet | None,
        store: ImageStore,
        given: GivenImages,
        *,
        puller: Puller | None,
        platform: str,
        runtimes: Runtimes | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._own = own
        self._store = store
        self._given = given
        self._puller = puller
        self._platform = platform
        self._runtimes = runtimes or Runtimes()
        self._clock = clock or SystemClock()
        self._found: dict[str, tuple[float, FoundImage]] = {}

    def find(self, reference: str) -> FoundImage:
        """Return where an image comes from, or why no source has it. Raises InputError, ClusterBroken.

        Kept for ``KEPT_SECONDS``: an experiment is checked more than once before its deployment."""
        now = self._clock.monotonic()
        at, found = self._found.get(reference, (now - 2 * KEPT_SECONDS, None))
        if found is None or now - at > KEPT_SECONDS:
            found = self._find(reference)
            self._found[reference] = (self._clock.monotonic(), found)
        return found

    def _find(self, reference: str) -> FoundImage:
        if self._own and self._own.serves(reference):
            return FoundImage(ImageSource(reference, OWN))
        whole = Reference.parse(reference)
        if whole.host == REGISTRY_HOST:
            return FoundImage(ImageSource(reference, "", "the harness builds no such image"))
        why_not: list[str] = []
        for found in self._sources(reference, whole, why_not):
            return found
        return FoundImage(ImageSource(reference, "", "; ".join(why_not)))

    def _sources(self, reference: str, whole: Reference, why_not: list[str]) -> Iterator[FoundImage]:
        yield from self._in_runtime(reference, whole, why_not)
        yield from self._in_archive(reference, why_not)
        yield from self._in_store(reference, why_not)
        yield from self._in_registry(reference, why_not)

    def _in_runtime(self, reference: str, whole: Reference, why_not: list[str]) -> Iterator[FoundImage]:
        # What a runtime saves does not have the digest that the registry shows.
        held = None if whole.digest else self._runtimes.find(reference)
        why_not += [f"{name}: {why}" for name, why in self._runtimes.silent.items()]
        if held and held.platform == self._platform:
            where = f"{held.runtime} has it, loaded from there ({held.size / 1e6:.0f} MB)"
            yield FoundImage(ImageSource(reference, where), lambda progress: self._save(held, str(whole), progress))
        elif held:
            why_not.append(f"{held.runtime} has it for {held.platform}, but the nodes are {self._platform}")
        elif not whole.digest:
            why_not += [f"{name} does not have it" for name in self._runtimes.names]

    def _in_archive(self, reference: str, why_not: list[str]) -> Iterator[FoundImage]:
        given = self._given.find(reference)
        if given and self._platform in given.image.platforms:
            source = ImageSource(reference, f"archive {given.archive}")
            yield FoundImage(source, lambda progress: self._load(given, whole_reference(reference), progress))
        elif given:
            there = ", ".join(given.image.platforms) or "an unknown platform"
            why_not.append(f"archive {given.archive} has it for {there}, but the nodes are {self._platform}")

    def _in_store(self, reference: str, why_not: list[str]) -> Iterator[FoundImage]:
        stored = self._store.find(reference)
        if stored is None or (stored.origin.startswith(PULLED) and not Reference.parse(reference).digest):
            # A tag may have moved since the pull: the registry is asked first.
            return
        if self._platform in stored.platforms:
            source = ImageSource(reference, f"image store ({stored.origin})")
            yield FoundImage(source, lambda _progress: stored)
        else:
            there = ", ".join(stored.platforms)
            why_not.append(f"the image store has it for {there}, but the nodes are {self._platform}")

    def _in_registry(self, reference: str, why_not: list[str]) -> Iterator[FoundImage]:
        puller = self._puller
        if puller is None:
            return
        host = Reference.parse(reference).host
        try:
            found = puller.resolve(reference)
        except PullFailed as error:
            stored = self._store.find(reference)
            if not error.reachable and stored and self._platform in stored.platforms:
                where = f"image store ({stored.origin} earlier; now {error})"
                yield FoundImage(ImageSource(reference, where), lambda _progress: stored)
            why_not.append(str(error))
            return
        if self._platform not in found.platforms:
            there = ", ".join(found.platforms) or "no known platform"
            why_not.append(f"{host} has it for {there}, but the nodes are {self._platform}")
            return
        where = f"pulled by this machine from {host} ({found.root.digest[:19]}…)"
        yield FoundImage(ImageSource(reference, where), lambda progress: _pull(puller, found, progress))

    def _save(self, held: HeldImage, name: str, progress: Progress) -> StoredImage:
        source = f"{held.runtime}:{held.id}"
        stored = self._store.find(name)
        if stored and stored.source == source:
            return stored
        progress(f"loading {name} from {held.runtime}, {held.size / 1e6:.0f} MB")
        self._store.root.mkdir(parents=True, exist_ok=True)
        # Not in /tmp, which may be in memory.
        with tempfile.TemporaryDirectory(prefix=SAVED, dir=self._store.root) as folder:
            archive = Path(folder) / "image.tar"
            save(held, archive)
            what = Loading(name, origin=f"from {held.runtime}", source=source)
            (loaded,) = load_archive(self._store, archive, self._platform, progress, what)
        return loaded

    def _load(self, given: GivenImage, name: str, progress: Progress) -> StoredImage:
        if given.archive.is_file():
            state = given.archive.stat()
            source = f"{given.archive.absolute()}:{state.st_size}:{state.st_mtime_ns}"
            stored = self._store.find(name)
            if stored and stored.source == source:
                return stored
        else:
            source = ""
        progress(f"loading {name} from {given.archive}")
        what = Loading(
            given.name, frozenset(() if given.name else given.image.names), f"archive {given.archive}", source
        )
        loaded = load_archive(self._store, given.archive, self._platform, progress, what)
        if not loaded:
            raise ClusterBroken(f"{given.archive} no longer contains {name}")
        return loaded[0]


def _pull(puller: Puller, found: Resolved, progress: Progress) -> StoredImage:
    try:
        return puller.pull(found, progress)
    except PullFailed as error:
        raise ClusterBroken(f"the image {found.reference} cannot be pulled: {error}") from error
