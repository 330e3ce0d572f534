"""Check without a cluster that the probes read the logs that the objectives judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.common.documents import Place
from harness.common.suggestions import one_of
from harness.objectives.base import Objective
from harness.objectives.log_lines import LogLines
from harness.probes.pod_logs import PodLogs


def logs_not_read(objectives: Sequence[Objective], probes: Sequence[Any]) -> Iterator[tuple[Place, str]]:
    """Yield the objectives whose logs no probe reads, each with its place below the experiment."""
    read = {probe.name: probe.of for probe in probes if isinstance(probe, PodLogs)}
    for index, objective in enumerate(objectives):
        if not isinstance(objective, LogLines):
            continue
        place: Place = ("objectives", index, LogLines.kind)
        if not read:
            yield (*place, "name"), f"found {objective.name!r}, but no probe podLogs: add one to `probes`"
        elif objective.name not in read:
            yield (*place, "name"), f"found the unknown probe {objective.name!r}{one_of(objective.name, read)}"
        elif objective.of != read[objective.name]:
            yield (*place, "of"), f"found {objective.of}, but the probe {objective.name!r} reads {read[objective.name]}"
