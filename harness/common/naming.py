"""Names and labels of the objects that the harness creates, so that they can be distinguished from all others."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

SYSTEM_NAMESPACE = "resilience-system"
RUN_LABEL = "resilience.harness/run"
EXPERIMENT_LABEL = "resilience.harness/experiment"
COMPONENT_LABEL = "resilience.harness/component"
# The component of the pods that generate load in the cluster: faults on their nodes are refused.
LOAD_COMPONENT = "load"
EXPIRES_ANNOTATION = "resilience.harness/expires"
KEPT_ANNOTATION = "resilience.harness/kept"
# The Service through which Prometheus discovers the load generator. It lives in the experiment's namespace but is not
# part of the workload.
LOAD_SERVICE = "resilience-load"
# On every object that an experiment creates: the only undo-journal entry that may delete it.
CLAIM_ANNOTATION = "resilience.harness/claim"
MANAGED_BY = {"app.kubernetes.io/managed-by": "resilience-harness"}


def experiment_name(test: str, node_id: str) -> str:
    """Return the experiment name of a Python test: a DNS label of at most 40 characters.

    The digest keeps tests of the same name in different files apart, since they may run at the same time.
    """
    # 35 characters, a hyphen and the four digits below make 40.
    stem = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:35].strip("-")
    return f"{stem or 'test'}-{hashlib.sha256(node_id.encode()).hexdigest()[:4]}"


def file_digest(file: Path) -> str:
    """Return four hexadecimal digits that distinguish files whose experiments have the same name."""
    return hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:4]


def experiment_namespace(name: str, twin: str, run: str, prefix: str = "rh", part: str = "") -> str:
    """Return the namespace of an experiment in a run: a DNS label of at most 63 characters that ends with the run ID.

    ``part`` follows two dashes, so that the control arm of ``shop`` cannot be confused with a twin called ``control``.
    A name that has to be shortened ends with a digest: two twins with a long name must not share a namespace.
    """
    # 63 characters of a DNS label, minus the hyphen before the run ID.
    stem, room = "-".join(filter(None, (prefix, name, twin))) + (f"--{part}" if part else ""), 62 - len(run)
    if len(stem) > room:
        digest = hashlib.sha256(stem.encode()).hexdigest()[:6]
        stem = f"{stem[: room - len(digest) - 1].rstrip('-')}-{digest}"
    return f"{stem}-{run}"
