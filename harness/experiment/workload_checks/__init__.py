"""Check a workload's manifests without a cluster: fields, types, names, and references between objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.common.errors import InputError
from harness.experiment.manifests import Workload, load_workload
from harness.experiment.workload_checks.images import wrong_images, wrong_references
from harness.experiment.workload_checks.isolation import shared
from harness.experiment.workload_checks.names import wrong_names
from harness.experiment.workload_checks.references import Finding, creates_objects, wrong_links
from harness.experiment.workload_checks.schema import Schemas


def findings(workload: Workload) -> Iterator[Finding]:
    """Yield every problem, with its object and its place in the object."""
    schemas = Schemas(workload.objects)
    sound = []
    for item in workload.objects:
        misfits = list(schemas.misfits(item))
        yield from (Finding(item, *misfit) for misfit in misfits)
        if not misfits:
            sound.append(item)
        for place, message in (*wrong_images(item), *wrong_references(item)):
            yield Finding(item, place, message)
    layout = workload.layout
    yield from wrong_names(workload.objects, layout)
    yield from shared(workload.objects, layout)
    for home in layout.names:
        # References are only followed from objects of the right form, and only inside a namespace. Operators and pods
        # with permissions may create the missing objects in any namespace.
        among = [item for item in workload.objects if layout.home(item) == home or creates_objects(item)]
        yield from wrong_links([item for item in sound if layout.home(item) == home], among)


def load_checked(folder: Path) -> Workload:
    """Load and check the workload of a folder. Raises InputError with all problems, each with file and line."""
    return checked(load_workload(folder))


def checked(workload: Workload) -> Workload:
    """Return the workload if its objects pass all checks. Raises InputError with all problems."""
    problems = [workload.problem(found.item, found.place, found.message) for found in findings(workload)]
    if problems:
        raise InputError(problems)
    return workload
