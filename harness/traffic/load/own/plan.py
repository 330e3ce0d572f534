"""The load plan of a locustfile, and the settings and command of its process."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.traffic.load.own.declaration import MAX_USERS, SPAWN_RATE, OwnLoad
from harness.traffic.load.own.inspection import BOOT, checked, interpreter
from harness.traffic.load.plan import LATE_AFTER
from harness.traffic.load.profile import Profile

# Users finish their task within this time when the load ends; a request that takes longer counts as unfinished.
STOP_GRACE = 5.0
# The users that are started before the first arrival: enough for requests of one second.
_FIRST_SECONDS, _LONGEST_SECONDS, _MARGIN = 1.0, 4.0, 64
_FEWEST = 2


@dataclass(frozen=True)
class OwnPlan:
    """One experiment's load by a locustfile.

    ``folder`` is that of the experiment's file. ``profile`` is used with a rate alone. ``traceparent`` is in its
    environment as TRACEPARENT; only the locustfile itself can send it.
    """

    load: OwnLoad
    folder: Path
    profile: Profile
    host: str
    port: int
    max_seconds: float
    options: Mapping[str, object] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    scheme: str = "http"
    seed: int = 0
    traceparent: str = ""

    @property
    def request_limit(self) -> float:
        """The longest time in seconds that the process may take to end."""
        return STOP_GRACE + 2.0

    def settings(self, records: Path) -> dict[str, Any]:
        """Check the locustfile and return the settings of its process. Raises InputError."""
        load = self.load
        found = checked(load, self.folder, self.options)
        users, spawn_rate, rate = load.users, load.spawn_rate or SPAWN_RATE, load.arrival_rate
        most = load.max_users
        if rate is not None:
            peak = rate * self.profile.peak
            most = most or min(MAX_USERS, math.ceil(peak * _LONGEST_SECONDS) + _MARGIN)
            users = min(most, max(len(found.classes), _FEWEST, math.ceil(peak * _FIRST_SECONDS)))
            spawn_rate = max(SPAWN_RATE, users / _LONGEST_SECONDS)
        shown = f"[{self.host}]" if ":" in self.host else self.host
        shape = load.shape or (next(iter(found.shapes)) if users is None and found.shapes else None)
        return {
            "locustfile": str(found.file),
            "records": str(records),
            "host": f"{self.scheme}://{shown}:{self.port}",
            "address": [self.host, self.port],
            "users": users,
            "spawn_rate": spawn_rate,
            "rate": rate,
            "max_users": most,
            "curves": {
                phase: [[point.at, point.share] for point in curve] for phase, curve in self.profile.phases.items()
            },
            "repeat": dict(self.profile.repeat),
            "classes": load.classes,
            "tags": load.tags,
            "exclude_tags": load.exclude_tags,
            "shape": shape,
            # References to secrets, which only the process replaces.
            "options": dict(self.options),
            "max_seconds": self.max_seconds,
            "stop_grace": STOP_GRACE,
            "late_after": LATE_AFTER,
            "seed": self.seed,
        }

    def argv(self, settings: Path) -> list[str]:
        """Return the command line of the process."""
        return [*self.command, interpreter(self.load, self.folder), str(BOOT), "run", str(settings)]

    @property
    def working_folder(self) -> Path:
        """The folder of the locustfile: it opens its files there, as when Locust is started in it."""
        assert self.load.locustfile
        return (self.folder / self.load.locustfile).absolute().parent


def write_settings(settings: Mapping[str, Any], file: Path) -> None:
    """Write the settings file of the process."""
    file.write_text(json.dumps(settings, indent=2), encoding="utf-8")


def environment(plan: OwnPlan) -> dict[str, str]:
    """Return the environment of the process: that of the harness, without what belongs to its own interpreter."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    return {**kept, **({"TRACEPARENT": plan.traceparent} if plan.traceparent else {})}
