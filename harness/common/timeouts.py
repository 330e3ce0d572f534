"""Named time limits for waits, in seconds. None of them is an SLO: SLOs are part of an experiment."""

from __future__ import annotations

# Scheduling, pulling images and starting, for any workload; the time that its probes allow is added.
WORKLOAD_READY = 120.0
# The same for each further pod of a StatefulSet with ordered start; by then the image is usually on the node.
NEXT_POD = 15.0
# From the creation of a CustomResourceDefinition until its kind is served; usually under a second.
KINDS_SERVED = 30.0
# How long a webhook of the workload may fail after its pods are ready: certificates and endpoints need a moment.
WEBHOOK_ANSWERS = 30.0
# Until the API server reaches a new API service; it checks every few seconds, and after each change of its endpoints.
API_SERVED = 60.0
OBSERVERS_READY = 15.0
LOAD_READY = 30.0
# An autoscaler evaluates every 15 s, and with metrics-server's defaults the metrics of a new pod take up to a minute.
# An autoscaler that still has no numbers after that is judged as it is.
NUMBERS_KNOWN = 90.0
NAMESPACE_GONE = 90.0
# The namespace controller waits 5 s before it processes a namespace that is being deleted; no option changes that.
# So the pods are deleted first; if some are left after this time, the namespace is deleted with them.
NAMESPACE_EMPTY = 5.0
UNDONE = 60.0
UNDONE_AT_LEAST = 5.0
RESIDUE_GONE = 20.0
# A node that was switched off has recovered when its network plug-in's pod has set the routes to other nodes' pods.
# On an idle kind cluster that took 18 s from power-on, the last 10 s after the node had become Ready.
NODES_WHOLE = 60.0
EVIDENCE_EVERY = 0.5
# Kept short: a check for evidence delays the end of a fault, which an objective or a halt may request at any time.
EVIDENCE_LOOK = 0.7
# The limit that it grows to on a slow API server, which would delay the end of a fault in any case.
EVIDENCE_LOOK_AT_MOST = 5.0
LOOK_EVERY = 0.2
# Each check is an HTTP query, and Prometheus rarely has new samples more than once a second.
SCRAPES_LOOK_EVERY = 0.5
# A load generator or prober that is not stopped exits this long after the planned end of its experiment's phases.
# The phases may take longer than planned: waits for responses, for two scrapes of up to a minute each, for the undo.
LOAD_GRACE = 300.0
# An effect that expires by itself does so this long after the longest run that its experiment allows.
EFFECT_GRACE = 60.0
