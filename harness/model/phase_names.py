"""The names of the phases of a run, in order. On their own: the load process needs nothing else of a timeline."""

from __future__ import annotations

BASELINE, FAULT, RECOVERY, SETTLE = "baseline", "fault", "recovery", "settle"
PHASES = (BASELINE, FAULT, RECOVERY, SETTLE)
