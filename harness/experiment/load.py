"""The ``load`` of an experiment: what is sent where, in which shape, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from harness.common.errors import InputError, Problem
from harness.model.quantities import Rate
from harness.traffic.load.composition import ProfileSpec
from harness.traffic.load.included import included_files
from harness.traffic.load.own.declaration import MAX_USERS, SPAWN_RATE, OwnLoad, beside
from harness.traffic.load.plan import MAX_WORKERS
from harness.traffic.load.replay.declaration import Replay
from harness.traffic.target.declaration import Target


class Load(OwnLoad):
    """The load on a target: a profile at a rate, with one run of a behaviour per arrival; or a locustfile."""

    profile: str | ProfileSpec = Field(
        default="steady",
        description="load profile: the name of a file in loadprofiles/, without .yaml; or an object that changes one, "
        "or composes several",
    )
    rate: Rate | None = Field(
        default=None,
        description="arrivals per second at 100% of the profile, such as 50/s; needed without users, a shape or replay",
    )
    replay: Replay | None = Field(
        default=None, description="a HAR file or an access log to send again, in place of profile, rate and behaviour"
    )
    target: Target = Field(description="where the load goes: text such as service/shop:http, or an object")
    behaviour: str = Field(
        default="http", description="what each arrival does: the name of a file in loadprofiles/, without .py"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="options of the behaviour")
    from_: Literal["auto", "machine", "cluster"] = Field(
        default="auto",
        alias="from",
        description="where the load is generated: on this machine, by pods in the cluster, or (auto) on this machine "
        "if it can reach the target",
    )
    workers: Annotated[int, Field(strict=True, ge=1, le=MAX_WORKERS)] = Field(
        default=1, description="the number of load generator processes, among which the arrivals are divided exactly"
    )

    # No fields: a file cannot set them.
    _scale: float = PrivateAttr(default=1.0)
    _files: tuple[Path, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if self.rate is None and not self.locustfile and not self.replay:
            raise ValueError("rate is missing, expected arrivals per second such as rate: 50/s")
        if self.from_ == "cluster" and self.target.kind == "url":
            raise ValueError(
                "found from: cluster with a URL, which is outside of the cluster: expected auto or machine"
            )
        return self

    @property
    def profiles(self) -> tuple[str, ...]:
        """The names of all profiles that it uses."""
        return self.profile.names if isinstance(self.profile, ProfileSpec) else (self.profile,)

    @property
    def described(self) -> str:
        """The load in a few words: its profile and rate, or its locustfile and users."""
        return f"{self._described}{self.scaling}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that its options contain."""
        return self._files

    @property
    def scale(self) -> float:
        """The factor that its rate already has: that of ``scaled``."""
        return self._scale

    @property
    def scaling(self) -> str:
        """The factor as text that follows the rate; empty without one."""
        return f" (scaled by {self.scale:g})" if self.scale != 1 else ""

    def scaled(self, factor: float) -> Load:
        """Return the load with the rate, the speed of a replay or the users of a locustfile multiplied by a factor.

        Raises InputError if it cannot be scaled."""
        if factor == 1:
            return self
        changes: dict[str, Any] = {}
        if self.rate is not None:
            changes["rate"] = self.rate * factor
        elif self.replay:
            changes["replay"] = self.replay.model_copy(update={"speed": self.replay.speed * factor})
        elif self.users:
            users = max(1, round(self.users * factor))
            changes = {"users": users, "spawn_rate": (self.spawn_rate or SPAWN_RATE) * factor}
            if users > MAX_USERS:
                found = f"found {users} users with --load-scale={factor:g}"
                raise InputError([Problem(f"{found}, expected at most {MAX_USERS}", field="load.users")])
        else:
            message = f"found --load-scale={factor:g} with a shape, which sets the number of users itself"
            raise InputError([Problem(f"{message}: expected users or rate", field="load.shape")])
        made = self.model_copy(update=changes)
        made._scale = self._scale * factor  # noqa: SLF001 - its own class
        return made

    @property
    def _described(self) -> str:
        if self.replay:
            return f"replay of {Path(self.replay.file).name} at {self.replay.speed:g}× speed, {self.replay.volume:.0%}"
        rate = f"{self.profile} at {self.rate:g}/s" if self.rate is not None else ""
        if not self.locustfile:
            return rate
        users = f"{self.users} users" if self.users else f"the shape {self.shape or 'of the locustfile'}"
        return f"{Path(self.locustfile).name}: {rate or users}"

    def including(self, folder: Path) -> Load:
        """Return the load with the texts of the files that its options name, relative to ``folder``.

        Raises InputError if one cannot be read."""
        options, files = included_files(self.options, folder)
        if not files:
            return self
        made = self.model_copy(update={"options": options})
        made._files = files  # noqa: SLF001 - its own class
        return made

    def located(self, folder: Path) -> Load:
        """Return the load with its paths made absolute, and see ``including``.

        ``folder`` is that of the experiment's file. Raises InputError."""
        paths = {name: getattr(self, name) for name in ("locustfile", "python")}
        absolute = {name: str(beside(folder, path)) for name, path in paths.items() if path}
        made = self.including(folder).model_copy(update=absolute)
        if not made.replay:
            return made
        replay = made.replay.model_copy(update={"file": str(beside(folder, made.replay.file))})
        return made.model_copy(update={"replay": replay})
