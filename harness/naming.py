"""Names and labels that the harness puts on what it makes, so that its own things can be told from everybody else's."""

from __future__ import annotations

import hashlib
import re

SYSTEM_NAMESPACE = "resilience-system"
RUN_LABEL = "resilience.harness/run"
EXPERIMENT_LABEL = "resilience.harness/experiment"
COMPONENT_LABEL = "resilience.harness/component"
EXPIRES_ANNOTATION = "resilience.harness/expires"
KEPT_ANNOTATION = "resilience.harness/kept"
MANAGED_BY = {"app.kubernetes.io/managed-by": "resilience-harness"}


def experiment_name(test: str, node_id: str) -> str:
    """The name of a Python test's experiment: a DNS label of at most 40 characters.

    The digest tells tests of one name in two files apart, which may run at the same time.
    """
    stem = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:35].strip("-")
    return f"{stem or 'test'}-{hashlib.sha256(node_id.encode()).hexdigest()[:4]}"


def experiment_namespace(name: str, twin: str, run: str, prefix: str = "rh", part: str = "") -> str:
    """The namespace of one experiment of one run: a DNS label of at most 63 characters that ends with the run's id.

    ``part`` is set off by two dashes, so that the control arm of ``shop`` is not taken for a twin called ``control``.

    What has to be cut is told apart by a digest: two twins of one long name must not meet in one namespace.
    """
    stem, room = "-".join(filter(None, (prefix, name, twin))) + (f"--{part}" if part else ""), 62 - len(run)
    if len(stem) > room:
        digest = hashlib.sha256(stem.encode()).hexdigest()[:6]
        stem = f"{stem[: room - len(digest) - 1].rstrip('-')}-{digest}"
    return f"{stem}-{run}"
