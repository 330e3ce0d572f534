"""Check the names of a workload's objects: unique, and accepted by the API server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.experiment.isolation import Layout
from harness.experiment.workload_checks.references import Finding
from harness.safety.guard import is_cluster_wide

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# RFC 1123: 253 characters for a subdomain, 63 for a label.
_MOST = 253
# Kinds whose names may contain colons and capitals.
_FREE = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
# DNS labels, for kinds whose names become parts of DNS names.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABELS = {"Service": 63, "Namespace": 63}


def wrong_names(objects: Sequence[Object], layout: Layout) -> Iterator[Finding]:
    """Yield each object with a name that the API server refuses, or that another object of its kind has."""
    seen: set[tuple[str, str, str]] = set()
    for item in objects:
        name, kind = str(item["metadata"]["name"]), str(item["kind"])
        place = ("metadata", "name")
        # Without the version: in two versions of its group it is still the same object.
        home = "" if is_cluster_wide(item) else layout.home(item)
        key = (str(item["apiVersion"]).rpartition("/")[0], reference(item), home)
        if key in seen:
            yield Finding(item, place, f"found a second {reference(item)}, expected each object once")
        seen.add(key)
        pattern, most = (_LABEL, _LABELS[kind]) if kind in _LABELS else (_SUBDOMAIN, _MOST)
        if kind not in _FREE and not (pattern.fullmatch(name) and len(name) <= most):
            what = (
                "lower-case letters, digits, '-' and '.'"
                if pattern is _SUBDOMAIN
                else "lower-case letters, digits and '-'"
            )
            yield Finding(item, place, f"found {name!r}, expected at most {most} characters: {what}")
