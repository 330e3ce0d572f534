"""What the load of one experiment is to be, checked before anything runs, and the settings that the process gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.errors import InputError, Problem
from harness.load.behaviour import Behaviour
from harness.load.catalogue import SHIPPED, Catalogue
from harness.load.profile import Profile

# Room for arrivals that come while others are being answered; below this a pool is not worth sizing.
MIN_WORKERS = 64
# Locust raises the limit of open files to 10,000; a worker holds one, and idle kept connections as many again.
MAX_WORKERS = 4_000
LATE_AFTER = 1.0


@dataclass(frozen=True)
class LoadPlan:
    """One experiment's load.

    ``rate`` is in arrivals a second at share 100 % of the profile; ``options`` are those of the behaviour (see
    ``Behaviour`` for the ones that all have); ``folders`` are searched for the behaviour before the harness's own.
    ``command`` stands before the process's own command (``nsenter …``). With ``metrics_host`` the process serves its
    Prometheus metrics there on a free port. ``workers`` bounds the requests in flight; by default there are enough for
    every request to time out at the peak rate, so that an outage of the target cannot exhaust them.
    ``max_seconds`` ends the process whatever happens to the harness.
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
    workers: int | None = None
    folders: Sequence[Path] = field(default_factory=tuple)

    def settings(self) -> Settings:
        """The checked settings. Raises InputError with every problem."""
        problems = self._problems()
        try:
            behaviour = self._catalogue.behaviour(self.behaviour, self.options)
        except InputError as error:
            raise InputError([*problems, *error.problems]) from error
        if problems:
            raise InputError(problems)
        return Settings(
            profile=self.profile,
            rate=self.rate,
            behaviour_file=self._catalogue.behaviour_file(self.behaviour),
            options=behaviour.model_dump(mode="json"),
            request_limit=behaviour.connect_timeout + behaviour.read_timeout,
            host=self.host,
            port=self.port,
            run=self.run,
            experiment=self.experiment,
            namespace=self.namespace,
            max_seconds=self.max_seconds,
            metrics_host=self.metrics_host,
            workers=self.workers or self._enough_workers(behaviour),
        )

    @property
    def _catalogue(self) -> Catalogue:
        return Catalogue((*self.folders, SHIPPED))

    def _enough_workers(self, behaviour: Behaviour) -> int:
        longest = behaviour.connect_timeout + behaviour.read_timeout
        wanted = math.ceil(self.rate * self.profile.peak * longest) + MIN_WORKERS
        return min(MAX_WORKERS, wanted)

    def _problems(self) -> list[Problem]:
        checks = [
            ("rate", self.rate, self.rate > 0 and math.isfinite(self.rate), "more than 0 arrivals a second"),
            ("host", self.host, bool(self.host), "a name or an address"),
            ("port", self.port, 0 < self.port < 65536, "a port from 1 to 65535"),
            ("max_seconds", self.max_seconds, 0 < self.max_seconds < math.inf, "a finite time of more than 0 s"),
            ("workers", self.workers, self.workers is None or 0 < self.workers <= MAX_WORKERS, f"1 to {MAX_WORKERS}"),
        ]
        return [
            Problem(f"found {found!r}, expected {expected}", field=f"load.{name}")
            for name, found, good, expected in checks
            if not good
        ]


class Settings(BaseModel):
    """What the load process reads from its settings file: the plan with everything looked up and filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile
    rate: float
    behaviour_file: Path
    options: dict[str, Any]
    request_limit: float
    """The longest that one request can take, in seconds: dialling, sending and the whole answer."""
    host: str
    port: int
    run: str
    experiment: str
    namespace: str
    max_seconds: float
    metrics_host: str | None
    workers: int
    late_after: float = LATE_AFTER
    """An arrival that could not be started within this many seconds of its time is dropped, and counted as such."""
