"""The part of an experiment's ``load`` that runs the user's own locustfile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.common.errors import Problem
from harness.model.quantities import Rate

MAX_USERS = 4_000
SPAWN_RATE = 10.0
# With neither users nor rate the locustfile's own shape sets the users.
_ALONE = ("classes", "tags", "exclude_tags", "users", "spawn_rate", "max_users", "shape", "python")

Count = Annotated[int, Field(ge=1, le=MAX_USERS, strict=True)]


class OwnLoad(BaseModel):
    """The fields of ``load`` for a locustfile. ``locustfile`` and ``python`` are paths beside the experiment's file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    locustfile: str | None = Field(
        default=None,
        min_length=1,
        description="a locustfile, run unchanged by Locust: its path relative to the experiment's folder",
    )
    users: Count | None = Field(
        default=None, description="with locustfile: the number of users, which wait for their responses (closed model)"
    )
    spawn_rate: Annotated[float, Field(gt=0, le=MAX_USERS)] | None = Field(
        default=None, description="with locustfile: users started per second; by default 10"
    )
    max_users: Count | None = Field(
        default=None,
        description="with locustfile and rate: most users at a time; by default enough for requests of 4 s at the peak",
    )
    classes: list[str] = Field(default_factory=list, description="with locustfile: its user classes to run; all")
    tags: list[str] = Field(default_factory=list, description="with locustfile: run only tasks with one of these tags")
    exclude_tags: list[str] = Field(
        default_factory=list, description="with locustfile: leave out tasks with one of these tags"
    )
    shape: str | None = Field(
        default=None, description="with locustfile: the LoadTestShape that sets the users, starting with the baseline"
    )
    python: str | None = Field(
        default=None,
        min_length=1,
        description="with locustfile: the Python interpreter of the virtual environment with its dependencies; by "
        "default that of the variable RESILIENCE_LOCUST_PYTHON, else the harness's own",
    )

    @property
    def model(self) -> Literal["open", "closed"]:
        """``closed`` if users wait for their responses before they send more, else ``open``."""
        return "closed" if self.locustfile and self.arrival_rate is None else "open"

    @property
    def arrival_rate(self) -> Rate | None:
        """The arrivals per second, or None without a rate."""
        return getattr(self, "rate", None)

    @property
    def ramp_up(self) -> float:
        """Seconds until all users have started, at least."""
        return (self.users or 0) / (self.spawn_rate or SPAWN_RATE)

    def own_problems(self) -> list[Problem]:
        """Return what does not fit together in these fields, each with its field below ``load``."""
        given = {name for name in _ALONE if getattr(self, name)}
        if not self.locustfile:
            return [
                Problem(f"found {to_camel(name)} without a locustfile, expected locustfile: FILE beside it", field=name)
                for name in _ALONE
                if name in given
            ]
        wrong = []
        if self.users is not None and self.arrival_rate is not None:
            wrong.append(
                ("users", "found both users and rate, expected one: users (closed model) or rate (open model)")
            )
        if self.arrival_rate is not None and self.shape:
            wrong.append(("shape", "found both shape and rate, expected one of them: a shape sets users, not arrivals"))
        if self.spawn_rate is not None and self.users is None:
            wrong.append(("spawn_rate", "found spawnRate without users, which it starts"))
        if self.max_users is not None and self.arrival_rate is None:
            wrong.append(("max_users", "found maxUsers without rate; the number of users is set by users or the shape"))
        given_too = self.model_fields_set & {"profile", "behaviour"}
        if getattr(self, "workers", 1) != 1:
            wrong.append(("workers", "found workers with a locustfile, which runs in one process"))
        if getattr(self, "from_", "auto") == "cluster":
            wrong.append(("from", "found from: cluster with a locustfile, which runs on this machine"))
        if "behaviour" in given_too:
            wrong.append(("behaviour", "found both a behaviour and a locustfile, expected one of them"))
        if "profile" in given_too and self.arrival_rate is None:
            wrong.append(("profile", "found a profile without rate: users and shapes have none"))
        wrong += [
            ("tags", f"found the tag {tag!r} in tags and in excludeTags")
            for tag in self.tags
            if tag in self.exclude_tags
        ]
        return [Problem(message, field=name) for name, message in wrong]


def beside(folder: Path, path: str) -> Path:
    """Return a path of an experiment file, which is relative to the file's folder."""
    # Not resolved: the interpreter of a virtual environment is a symbolic link, and must be called by its name.
    return (folder / Path(path).expanduser()).absolute()
