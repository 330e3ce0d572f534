"""The load plan of one experiment, checked before anything runs, and the settings of the load process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.common.errors import InputError, Problem
from harness.traffic.load.behaviour import Behaviour
from harness.traffic.load.catalogue import SHIPPED, Catalogue
from harness.traffic.load.profile import Profile
from harness.traffic.load.replay.checked import REPLAYED, replayed
from harness.traffic.load.replay.declaration import Replay
from harness.traffic.load.replay.recording import read_recording
from harness.traffic.load.replay.schedule import ReplaySchedule
from harness.traffic.load.schedule import ArrivalSchedule, Schedule
from harness.traffic.target.endpoint import PLAIN, Access

# A margin for bursts, and the minimum size of the pool.
MIN_POOL = 64
# Locust raises the limit of open files to 10,000. A request in flight uses one, and may leave one idle connection.
MAX_POOL = 4_000
MAX_WORKERS = 64
LATE_AFTER = 1.0
# The files of a process in a pod are sent in one message.
MAX_SENT = 8 * 1024 * 1024
_RECORDING = "recording"


@dataclass(frozen=True)
class LoadPlan:
    """One experiment's load.

    ``rate`` is in arrivals per second at share 100 % of the profile. ``options`` are those of the behaviour (see
    ``Behaviour`` for the common ones). ``folders`` are searched for the behaviour before the shipped catalogue.
    ``command`` is a prefix of the process's command line (``nsenter …``). With ``metrics_host`` the process serves
    Prometheus metrics on a free port of that address. ``workers`` is the number of processes among which the arrivals
    are divided. ``pool`` limits the requests in flight of each; by default it is large enough for every request at the
    peak rate to time out, so that an outage of the target cannot exhaust it. The processes exit after ``max_seconds``,
    even if the harness has crashed. ``access`` refers to ``secrets``, which only their environment contains. A
    ``replay`` takes the place of profile, rate and behaviour. ``traceparents`` are the values of this header by phase,
    and before the first one under ""; empty for requests without it.
    """

    profile: Profile
    rate: float
    behaviour: str
    options: Mapping[str, object]
    host: str
    port: int
    run: str
    experiment: str
    namespace: str
    max_seconds: float
    command: Sequence[str] = ()
    metrics_host: str | None = None
    pool: int | None = None
    workers: int = 1
    folders: Sequence[Path] = field(default_factory=tuple)
    replay: Replay | None = None
    access: Access = PLAIN
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    traceparents: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        """Check the plan and return the settings of the first process. Raises InputError with every problem."""
        problems = self._problems()
        try:
            behaviour = (
                replayed(self.replay, self.options)
                if self.replay
                else self._catalogue.behaviour(self.behaviour, self.options)
            )
        except InputError as error:
            raise InputError([*problems, *error.problems]) from error
        if problems:
            raise InputError(problems)
        return Settings(
            profile=self.profile,
            rate=self.rate,
            behaviour_file=REPLAYED if self.replay else self._catalogue.behaviour_file(self.behaviour),
            replay=self.replay,
            options=behaviour.model_dump(mode="json"),
            request_limit=behaviour.connect_timeout + behaviour.read_timeout,
            host=self.host,
            port=self.port,
            access=self.access,
            run=self.run,
            experiment=self.experiment,
            namespace=self.namespace,
            max_seconds=self.max_seconds,
            metrics_host=self.metrics_host,
            pool=self.pool or self._enough(behaviour),
            workers=self.workers,
            traceparents=dict(self.traceparents),
        )

    @property
    def _catalogue(self) -> Catalogue:
        return Catalogue((*self.folders, SHIPPED))

    def _enough(self, behaviour: Behaviour) -> int:
        # Little's law: with every request at its time limit, rate × duration arrivals are in progress.
        peak = (
            self.rate * self.profile.peak if not self.replay else read_recording(self.replay).peak * self.replay.speed
        )
        wanted = math.ceil(peak / self.workers * behaviour.longest) + MIN_POOL
        return min(MAX_POOL, wanted)

    def _problems(self) -> list[Problem]:
        checks = [
            ("rate", self.rate, self.rate > 0 and math.isfinite(self.rate), "more than 0 arrivals a second"),
            ("host", self.host, bool(self.host), "a name or an address"),
            ("port", self.port, 0 < self.port < 65536, "a port from 1 to 65535"),
            ("max_seconds", self.max_seconds, 0 < self.max_seconds < math.inf, "a finite time of more than 0 s"),
            ("pool", self.pool, self.pool is None or 0 < self.pool <= MAX_POOL, f"1 to {MAX_POOL}"),
            ("workers", self.workers, 0 < self.workers <= MAX_WORKERS, f"1 to {MAX_WORKERS}"),
        ]
        return [
            Problem(f"found {found!r}, expected {expected}", field=f"load.{name}")
            for name, found, good, expected in checks
            if not good
        ]


class Settings(BaseModel):
    """The settings file of the load process: the plan with all names resolved and all defaults filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile
    rate: float
    behaviour_file: Path
    options: dict[str, Any]
    request_limit: float
    """The maximum duration of one request in seconds: connecting, sending and the whole response."""
    host: str
    port: int
    run: str
    experiment: str
    namespace: str
    max_seconds: float
    metrics_host: str | None
    metrics_port: int = 0
    """The port of the metrics; 0 for any free one."""
    pool: int
    """The maximum number of requests in flight."""
    worker: int = 0
    """The number of this process among the workers, from 0."""
    workers: int = 1
    clock_offset: float = 0.0
    """What this machine's CLOCK_MONOTONIC is ahead of the harness's, in seconds; all recorded times are the latter."""
    replay: Replay | None = None
    access: Access = PLAIN
    traceparents: dict[str, str] = {}
    """The values of the header of this name by phase, and before the first one under ""; none if it is empty."""
    late_after: float = LATE_AFTER
    """An arrival that has not started this many seconds after its intended start is dropped."""

    def files(self) -> dict[str, str]:
        """Return the files that the process reads, by their names in another folder. Raises InputError."""
        found = {self.behaviour_file.name: self.behaviour_file}
        if self.replay:
            found[_RECORDING] = Path(self.replay.file)
        if sum(file.stat().st_size for file in found.values()) > MAX_SENT:
            message = f"expected at most {MAX_SENT // 1024 // 1024} MiB to replay from pods: cut out the time to replay"
            raise InputError([Problem(message, found.get(_RECORDING), field="load.replay")])
        return {name: file.read_text(encoding="utf-8", errors="replace") for name, file in found.items()}

    def moved(self, folder: Path) -> Settings:
        """Return the settings of a process that finds its ``files`` in a folder."""
        changes: dict[str, Any] = {"behaviour_file": folder / self.behaviour_file.name}
        if self.replay:
            replay = self.replay.model_copy(update={"file": str(folder / _RECORDING)})
            changes |= {"replay": replay, "options": {**self.options, "recording": replay.model_dump(mode="json")}}
        return self.model_copy(update=changes)

    def schedule(self) -> Schedule:
        """Return the intended starts of all workers' arrivals."""
        if self.replay:
            recording = read_recording(self.replay)
            return ReplaySchedule([one.at for one in recording.requests], recording.period, self.replay.speed)
        return ArrivalSchedule(self.profile, self.rate)

    def clock(self) -> Callable[[], float]:
        """Return the clock of all recorded times: CLOCK_MONOTONIC of the machine of the harness, in seconds."""
        offset = self.clock_offset
        # On the same machine without a detour, since it is read several times for each request.
        return (lambda: time.monotonic() - offset) if offset else time.monotonic
