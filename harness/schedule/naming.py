"""Labels and commands that the manifests of a schedule and the code in its pod share."""

from __future__ import annotations

SCHEDULE_LABEL = "resilience.harness/schedule"
CONTAINER = "run"
# In the pod: emptyDirs, the ConfigMap, and the volume for results.
WORK, TEMPORARY, EXPERIMENTS, RESULTS = "/work", "/tmp", "/experiments", "/results"  # noqa: S108
PROJECT = f"{WORK}/project"
USER = 65532
# Environment variables of the pod, from a Secret by its name.
KEY_VARIABLE, SECRET_VARIABLE = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
