"""Ceilings for waits, in seconds, by name. None of them is an SLO: an SLO stands in an experiment."""

from __future__ import annotations

WORKLOAD_READY = 120.0
OBSERVERS_READY = 15.0
LOAD_READY = 30.0
NAMESPACE_GONE = 90.0
UNDONE = 60.0
UNDONE_AT_LEAST = 5.0
RESIDUE_GONE = 20.0
EVIDENCE_EVERY = 0.5
LOOK_EVERY = 0.2
# A load generator that nobody stops ends by itself this long after the longest run that its experiment allows.
LOAD_GRACE = 60.0
# An effect that expires by itself where it is outlives the longest run that its experiment allows by this.
EFFECT_GRACE = 60.0
