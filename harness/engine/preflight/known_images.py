"""What is known about the images of experiments without a cluster, for ``harness validate``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.cluster.local.supply.given import GivenImages
from harness.cluster.local.supply.references import Reference
from harness.cluster.local.supply.runtimes import Runtimes
from harness.cluster.local.supply.store import ImageStore
from harness.experiment.declaration import Experiment
from harness.experiment.workload_checks.container_images import images_of_fault, images_of_workload

PULLED = "pulled: on a local cluster by this machine, on others by the nodes"


def known_here(experiments: Iterable[Experiment], load: Sequence[str]) -> list[str]:
    """Return one line for each image that experiments and their twins name, but for the harness's own.

    Raises InputError if an archive in ``load`` is wrong."""
    given = GivenImages(load)
    given.images()
    names = sorted({name for experiment in experiments for name in _images(experiment) if "${" not in name})
    runtimes, store = Runtimes(), ImageStore.of_cache()
    return [f"image {name}: {_where(name, given, runtimes, store)}" for name in names]


def _images(experiment: Experiment) -> Iterator[str]:
    arms = [experiment, *(experiment.as_twin(name) for name in experiment.twins or {})]
    for arm in arms:
        yield from (named.image for _, named in images_of_workload(arm.workload.objects))
        for fault in arm.faults:
            yield from images_of_fault(fault)


def _where(name: str, given: GivenImages, runtimes: Runtimes, store: ImageStore) -> str:
    digest = Reference.parse(name).digest
    if not digest and (held := runtimes.find(name)):
        return f"{held.runtime} has it ({held.platform})"
    if found := given.find(name):
        return f"archive {found.archive} ({', '.join(found.image.platforms)})"
    if stored := store.find(name):
        return f"image store of local clusters ({stored.origin})"
    return PULLED
