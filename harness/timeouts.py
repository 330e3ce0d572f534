"""Ceilings for waits, in seconds, by name. None of them is an SLO: an SLO stands in an experiment."""

from __future__ import annotations

WORKLOAD_READY = 120.0
OBSERVERS_READY = 15.0
LOAD_READY = 30.0
NAMESPACE_GONE = 90.0
UNDONE = 60.0
UNDONE_AT_LEAST = 5.0
RESIDUE_GONE = 20.0
# A node that was switched off is whole again when its network plug-in's pod has run and set the routes to other nodes'
# pods: 18 s after its power came back on an idle kind cluster, 10 s of them after it had become Ready.
NODES_WHOLE = 60.0
EVIDENCE_EVERY = 0.5
# A look for evidence may hold up the end of a fault, which an objective or a halt can order at any time.
EVIDENCE_LOOK = 0.7
LOOK_EVERY = 0.2
# A load generator or prober that nobody stops ends by itself this long after the phases of its experiment are over.
# Between them there is waiting: for answers, for two scrapes of up to a minute each, for the undo.
LOAD_GRACE = 300.0
# An effect that expires by itself where it is outlives the longest run that its experiment allows by this.
EFFECT_GRACE = 60.0
