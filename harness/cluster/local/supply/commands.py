"""``harness image load``: archives and references into the image store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from platform import machine

from harness.cluster.local import binaries
from harness.cluster.local.supply.archives import this_platform
from harness.cluster.local.supply.given import GivenImages, parse_given
from harness.cluster.local.supply.local_images import LocalImages
from harness.cluster.local.supply.pull import Puller
from harness.cluster.local.supply.store import ImageStore, Loading, StoredImage, load_archive
from harness.common.errors import InputError, Problem
from harness.common.progress import Progress


def load(values: Sequence[str], folder: Path, progress: Progress) -> list[StoredImage]:
    """Load images into the image store and return them. Raises InputError with all problems, ClusterBroken."""
    store, platform = ImageStore.of_cache(), this_platform(machine())
    given = [(text, parse_given(text, folder)) for text in values]
    # Before anything is loaded: every archive must be readable.
    GivenImages(values, folder).images()
    loaded: list[StoredImage] = []
    problems: list[Problem] = []
    for text, each in given:
        if each.archive is not None:
            loaded += load_archive(store, each.archive, platform, progress, Loading(each.name))
            continue
        crane = binaries.ensure(progress).folder / "crane"
        found = LocalImages(
            None, store, GivenImages(()), puller=Puller(crane, store, platform), platform=platform
        ).find(text)
        if found.bring is None:
            problems.append(Problem(found.source.missing, field=text))
        else:
            loaded.append(found.bring(progress))
    if problems:
        raise InputError(problems)
    return loaded
