"""What the people on call enter during a game day: when they detected an outage, and when they mitigated it.

A mark is a ConfigMap in the harness's namespace, as the halt order is: the people on call need access to the cluster,
not to the machine of the run. Runs only read marks, and choose those of their day by the time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.common.clock import iso, parse_kubernetes_time
from harness.common.errors import ApiError, InputError, Problem
from harness.common.naming import COMPONENT_LABEL, MANAGED_BY, SYSTEM_NAMESPACE
from harness.safety.halt.order import make_system_namespace

MarkKind = Literal["detected", "mitigated"]
KINDS: tuple[MarkKind, ...] = get_args(MarkKind)
COMPONENT = "gameday-mark"
# What a run needs to read marks. Only people enter them, with their own permissions.
PERMISSIONS = allow(CONFIG_MAPS, "list", place="system")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_LONGEST_NOTE = 500
# Seconds by which the clock of another machine may be ahead.
_AHEAD = 60.0


@dataclass(frozen=True, slots=True)
class Mark:
    """``at`` (Unix seconds) is when it happened; ``by`` is who entered it."""

    kind: MarkKind
    at: float
    by: str
    note: str = ""

    @property
    def source(self) -> str:
        """Where the time comes from, for reports."""
        return f"entered by {self.by}" + (f": {self.note}" if self.note else "")

    def __str__(self) -> str:
        return f"{self.kind} at {iso(self.at)}, {self.source}"


def read_time(text: str, now: float) -> float:
    """Return a time in Unix seconds from RFC 3339, or from HH:MM[:SS] as the last such local time before ``now``.

    Raises InputError for any other text, a time without an offset, and a time that is later than ``now``.
    """
    if clock := _CLOCK.fullmatch(text.strip()):
        hour, minute, second = (int(part or 0) for part in clock.groups())
        today = datetime.fromtimestamp(now).astimezone()
        for days in (0, 1):
            day = today - timedelta(days=days)
            # Without its offset, which may be another one at that time of the day.
            local = day.replace(hour=hour, minute=minute, second=second, microsecond=0, tzinfo=None)
            if (at := local.timestamp()) <= now + _AHEAD:
                return at
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = None
    expected = "expected a time such as 14:05, 14:05:30 or 2026-11-23T14:05:30+01:00"
    if found is None or found.tzinfo is None:
        raise InputError([Problem(f"found {text!r}, {expected}", field="--at")])
    if (at := found.timestamp()) > now + _AHEAD:
        raise InputError([Problem(f"found {text!r}, which is later than now, {iso(now)}", field="--at")])
    return at


def enter(api: KubeApi, mark: Mark) -> None:
    """Store a mark in the cluster. Raises ApiError."""
    moment = re.sub(r"[^0-9]", "", iso(mark.at))
    metadata = {"name": f"{COMPONENT}-{mark.kind}-{moment}", "labels": {**MANAGED_BY, COMPONENT_LABEL: COMPONENT}}
    data = {"kind": mark.kind, "at": iso(mark.at), "by": mark.by, "note": mark.note[:_LONGEST_NOTE]}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    try:
        api.apply(config_map, SYSTEM_NAMESPACE)
    except ApiError as error:
        if not error.not_found:
            raise
        make_system_namespace(api)
        api.apply(config_map, SYSTEM_NAMESPACE)


def entered(api: KubeApi, since: float, until: float) -> list[Mark]:
    """Return the readable marks between two times in Unix seconds, in order. Raises ApiError."""
    found = api.list(CONFIG_MAPS, SYSTEM_NAMESPACE, f"{COMPONENT_LABEL}={COMPONENT}").items
    marks = [mark for mark in map(_read, found) if mark is not None and since <= mark.at <= until]
    return sorted(marks, key=lambda mark: mark.at)


def remove(api: KubeApi) -> int:
    """Delete all marks; return their number. Raises ApiError."""
    found = api.list(CONFIG_MAPS, SYSTEM_NAMESPACE, f"{COMPONENT_LABEL}={COMPONENT}").items
    for each in found:
        api.delete(CONFIG_MAPS, each["metadata"]["name"], SYSTEM_NAMESPACE)
    return len(found)


def first_between(marks: Sequence[Mark], kind: MarkKind, since: float, until: float) -> Mark | None:
    """Return the first mark of a kind between two times, the later one excluded; None if there is none."""
    return next((mark for mark in marks if mark.kind == kind and since <= mark.at < until), None)


def _read(config_map: Object) -> Mark | None:
    data = {key: str(value) for key, value in (config_map.get("data") or {}).items()}
    kind = next((each for each in KINDS if each == data.get("kind")), None)
    try:
        at = parse_kubernetes_time(data.get("at", ""))
    except ValueError:
        return None
    if kind is None:
        return None
    return Mark(kind, at, data.get("by") or "an unknown user", data.get("note", "")[:_LONGEST_NOTE])
