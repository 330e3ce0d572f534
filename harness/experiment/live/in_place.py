"""What an experiment in an existing namespace must not contain: everything that changes more than faults undo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.common.documents import Place
from harness.experiment.declaration import Declaration
from harness.experiment.fault_needs import Manifests
from harness.experiment.manifests import Workload
from harness.faults.base import Fault

_COPY = "workload: {copyOf: …} tests a copy of the same objects"


def in_place_problems(declared: Declaration) -> Iterator[tuple[Place, str]]:
    """Yield what the file declares that would deploy or change objects of the namespace, each with its place."""
    if declared.twins:
        why = f"a twin is a patched workload, and the objects of an existing namespace are never patched; {_COPY}"
        yield ("twins",), f"found twins of an existing namespace, expected none: {why}, twins included"
    if declared.control:
        why = f"a control arm is a second deployment, and nothing is deployed for an existing namespace; {_COPY}"
        yield ("control",), f"found a control arm beside an existing namespace, expected none: {why}"
    if declared.ready_timeout is not None:
        message = "found readyTimeout, expected none: nothing is deployed that could take time to become ready"
        yield ("readyTimeout",), message


def lasting_effects(faults: Sequence[Fault], workload: Workload, numbers: Sequence[int]) -> Iterator[tuple[Place, str]]:
    """Yield each fault whose undo would leave something in the namespace. ``numbers`` are the faults' places."""
    manifests = Manifests(workload)
    for number, fault in zip(numbers, faults, strict=True):
        for place, message in fault.lasting(manifests):
            yield ("faults", number, fault.kind, *place), f"{message}; {_COPY}"
