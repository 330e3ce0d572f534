"""Detect whether other work disturbed a calibration: its errors would be those of a busy machine.

The signs: failed probes of targets that were up, probes that the prober started late, and the kernel's counters for
the time that processes waited for a processor or that a hypervisor gave to other machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.calibration.truth import Truth
from harness.model.quantities import show_seconds
from harness.model.requests import Requests
from harness.model.timeline import ProbeStream

# Seconds after an outage during which refused connections still count as part of it.
AFTERMATH = 0.1
# Seconds. A probe that starts this late shifts the measured end of an outage by ten probe periods.
LATE = 0.1
# Largest share of processor time that a hypervisor may give to other machines.
STOLEN = 0.05
_STAT, _PRESSURE = Path("/proc/stat"), Path("/proc/pressure/cpu")
# Index of the steal time in the first line of /proc/stat.
_STEAL = 7


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Counters of the kernel since boot: ``stolen`` and ``total`` processor time in ticks, and ``waited``, the seconds
    during which any process waited for a processor (0 if the kernel does not provide it)."""

    stolen: int
    total: int
    waited: float


def cpu_times() -> CpuTimes:
    """Read the counters; zeros on a system without them."""
    ticks = [int(field) for field in _read(_STAT).partition("\n")[0].split()[1:]]
    some = next((line for line in _read(_PRESSURE).splitlines() if line.startswith("some")), "")
    waited = some.rpartition("total=")[2]
    # Sum only the first eight fields: the guest times in the last two are already part of the first two.
    return CpuTimes(ticks[_STEAL] if len(ticks) > _STEAL else 0, sum(ticks[:8]), int(waited or 0) / 1e6)


def disturbances(
    streams: Sequence[tuple[ProbeStream, Sequence[Truth]]], before: CpuTimes, after: CpuTimes, seconds: float
) -> list[str]:
    """Return the disturbances found, empty if none. ``seconds`` is the time between the two readings."""
    found = []
    strays = sum(len(_strays(stream.seen, truths)) for stream, truths in streams)
    if strays:
        probes = sum(len(stream.seen) for stream, _ in streams)
        found.append(f"{strays} of {probes} probes failed on targets that were up")
    seen = [stream.seen for stream, _ in streams if stream.seen]
    late = max((float((probes.started - probes.intended).max()) for probes in seen), default=0.0)
    if late > LATE:
        found.append(f"the prober started a probe {show_seconds(late)} late")
    stolen = (after.stolen - before.stolen) / max(1, after.total - before.total)
    if stolen > STOLEN:
        found.append(f"a hypervisor took {stolen:.0%} of the processors' time")
    waited = min(1.0, (after.waited - before.waited) / seconds)
    if found and waited:
        found.append(f"processes waited for a processor during {waited:.0%} of the time")
    return found


def _strays(seen: Requests, truths: Sequence[Truth]) -> Requests:
    """Return the failed probes that started and ended while their target was up."""
    up = ~seen.ok
    for truth in truths:
        up &= (seen.finished < truth.began.low) | (seen.started > truth.ended.high + AFTERMATH)
    return seen.where(up)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""
