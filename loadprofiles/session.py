"""Plays users' sessions: requests one after another, with pauses, drawn choices and what is kept of answers."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic.alias_generators import to_camel

from harness.model.quantities import Duration, Share
from harness.traffic.load.behaviour import OK, Behaviour, Client, Reply, below_400
from harness.traffic.load.http_values import Headers, Path, Statuses

# What a session may refer to: a value that it kept, or a column of its row of a file.
_REFERENCE = re.compile(r"\$\{([a-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)?)\}")
# The first pair of each cookie: dates and other attributes have a blank, or follow a semicolon.
_COOKIE = re.compile(r"(?:^|, )([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([^;,]*)")
_COLUMN = re.compile(r"[A-Za-z0-9_-]+")

Name = Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9_]*$", max_length=40)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def _range(value: object) -> object:
    return (value, value) if isinstance(value, str | int | float) else value


Pause = Annotated[tuple[Duration, Duration], BeforeValidator(_range)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Step(_Part):
    """One request of a session. A step that refers to a value which the session has not kept is left out."""

    name: Annotated[str, Field(min_length=1, max_length=60)] = Field(description="groups the requests in reports")
    method: Method = "GET"
    path: Path = "/"
    headers: Headers = Field(default_factory=dict)
    body: str = ""
    expect: Statuses = Field(default=(), description="the good statuses; by default all below 400")
    chance: Annotated[Share, Field(gt=0)] = Field(default=1.0, description="the share of sessions that take this step")
    keep: dict[Name, str] = Field(
        default_factory=dict,
        description="values to keep for later steps: a regular expression for each, whose first group is searched for "
        "in the body; without a match the step has failed",
    )
    _references: frozenset[str] = PrivateAttr(default=frozenset())

    @field_validator("keep")
    @classmethod
    def _patterns_have_a_group(cls, keep: dict[str, str]) -> dict[str, str]:
        for name, pattern in keep.items():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{name}: found {pattern!r}, which is no regular expression: {error}") from error
            if groups < 1:
                raise ValueError(f"{name}: found {pattern!r}, expected a group around the value, as in 'id=([0-9]+)'")
        return keep

    @property
    def references(self) -> frozenset[str]:
        """What its path, headers and body refer to."""
        return self._references

    def model_post_init(self, _: object) -> None:
        texts = (self.path, self.body, *self.headers.values())
        self._references = frozenset(found for text in texts for found in _REFERENCE.findall(text))


class Flow(_Part):
    """One kind of session. ``weight`` is its share of all sessions, relative to the weights of the others."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class Session(Behaviour):
    """Each arrival is a session of one of the ``flows``, or of ``steps`` alone.

    Sessions start by the clock, as all arrivals do: a slow service does not reduce their number. The requests of one
    session wait for each other, with a pause of ``think`` between them. A step that fails ends its session. A session
    keeps its cookies, what its steps ``keep``, and one row of each file in ``data``: ``${cart}`` and
    ``${product.id}`` in a path (quoted), a header or a body. What session N draws is the same in every run.
    """

    think: Pause = Field(default=(0.0, 0.0), description="the pause between two requests: 2s, or drawn from [1s, 3s]")
    steps: tuple[Step, ...] = Field(default=(), description="the requests of every session")
    flows: dict[str, Flow] = Field(default_factory=dict, description="several kinds of sessions, by name")
    data: dict[Name, str] = Field(
        default_factory=dict, description="CSV files with a header, such as {product: '${file:products.csv}'}"
    )

    # Computed once: every arrival reads them.
    _flows: tuple[Flow, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        if bool(self.steps) == bool(self.flows):
            raise ValueError("found both steps and flows, expected one of them" if self.steps else "steps are missing")
        if self.think[0] > self.think[1]:
            raise ValueError(f"think: found {self.think[0]:g} s to {self.think[1]:g} s, expected the shorter one first")
        known = {f"{name}.{column}" for name, text in self.data.items() for column in _rows(name, text)[0]}
        if self.steps:
            named = {"steps": Flow(steps=self.steps)}
        else:
            named = {f"flows.{name}.steps": flow for name, flow in self.flows.items()}
        for place, flow in named.items():
            kept: set[str] = set()
            for number, step in enumerate(flow.steps):
                for missing in sorted(step.references - known - kept):
                    expected = (
                        ", ".join(sorted(known | kept)) or "none: no earlier step keeps a value, and data is empty"
                    )
                    raise ValueError(f"{place}[{number}]: found ${{{missing}}}, expected one of {expected}")
                kept |= set(step.keep)
        self._flows = tuple(named.values())
        return self

    @property
    def requests(self) -> tuple[int, int]:
        # A step without a value that an earlier one may not have kept, and without a chance, is always taken.
        sure = (
            sum(step.chance == 1 and not step.references & self._kept for step in flow.steps) for flow in self._flows
        )
        return max(1, min(sure)), max(len(flow.steps) for flow in self._flows)

    @property
    def pauses(self) -> float:
        return (self.requests[1] - 1) * self.think[1]

    def arrive(self, client: Client, number: int) -> None:
        # The same in every run, and whichever worker has this arrival.
        draw = random.Random(number)  # noqa: S311 - what users do needs repeatability, not secrecy
        (flow,) = draw.choices(self._flows, [flow.weight for flow in self._flows])
        values = dict(self._row(draw))
        cookies: dict[str, str] = {}
        sent = False
        for step in flow.steps:
            # Drawn for every step, so that a value that was not kept does not change the later draws.
            taken, pause = draw.random() < step.chance, draw.uniform(*self.think)
            if not taken or not step.references <= values.keys():
                continue
            if sent:
                client.pause(pause)
            sent = True
            if not _take(client, step, values, cookies):
                return

    def probe(self, client: Client) -> None:
        """Send the first step that changes nothing and needs no value of an earlier one, or connect."""
        values = dict(self._row(random.Random(0)))  # noqa: S311
        steps = (step for flow in self._flows for step in flow.steps)
        for step in steps:
            if step.method in {"GET", "HEAD"} and step.references <= values.keys():
                _take(client, step, values, {})
                return
        with client.measure("TCP", "connect"), client.connection():
            pass

    def _row(self, draw: random.Random) -> Iterable[tuple[str, str]]:
        for name, text in self.data.items():
            columns, rows = _rows(name, text)
            row = draw.choice(rows)
            yield from ((f"{name}.{column}", value) for column, value in zip(columns, row, strict=True))

    @property
    def _kept(self) -> set[str]:
        return {name for flow in self._flows for step in flow.steps for name in step.keep}


def _take(client: Client, step: Step, values: dict[str, str], cookies: dict[str, str]) -> bool:
    """Send the request of a step, and keep what it must keep; return whether it was good."""
    kept: dict[str, str] = {}
    outcome = ""

    def check(reply: Reply) -> str:
        nonlocal outcome
        outcome = _judged(step, reply, kept)
        return outcome

    # A header has no characters beyond Latin-1 on the wire.
    sendable = {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in values.items()}
    headers = {name: _filled(value, sendable) for name, value in step.headers.items()}
    if cookies and "cookie" not in {name.lower() for name in headers}:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    quoted = {name: quote(value, safe="") for name, value in values.items()}
    body = _filled(step.body, values).encode()
    path = _filled(step.path, quoted)
    reply = client.request(step.method, path, body=body, headers=headers, name=step.name, check=check)
    if reply is None or outcome != OK:
        return False
    values |= kept
    cookies |= dict(_COOKIE.findall(reply.header("set-cookie")))
    return True


def _judged(step: Step, reply: Reply, kept: dict[str, str]) -> str:
    """Return the outcome of a response, and add the values that the step keeps."""
    outcome = below_400(reply)
    if step.expect:
        outcome = OK if reply.status in step.expect else str(reply.status)
    if outcome != OK or not step.keep:
        return outcome
    text = reply.body.decode("utf-8", "replace")
    for name, pattern in step.keep.items():
        found = re.search(pattern, text)
        if found is None or found[1] is None:
            return f"no {name}"
        kept[name] = found[1]
    return OK


def _filled(text: str, values: Mapping[str, str]) -> str:
    # A line break in a value would be a second header or request.
    return _REFERENCE.sub(lambda found: re.sub(r"[\r\n]", " ", values[found[1]]), text)


@lru_cache(maxsize=64)
def _rows(name: str, text: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the columns and the rows of a CSV text. Raises ValueError if it is none."""
    lines = [tuple(row) for row in csv.reader(io.StringIO(text.lstrip("\N{ZERO WIDTH NO-BREAK SPACE}"))) if row]
    if len(lines) < 2:
        raise ValueError(f"data.{name}: found {len(lines)} lines, expected a header and at least one row of CSV")
    header, rows = lines[0], tuple(lines[1:])
    for column in header:
        if not _COLUMN.fullmatch(column):
            raise ValueError(
                f"data.{name}: found the column {column!r}, expected letters, digits, hyphens, underscores"
            )
    if wrong := next((number for number, row in enumerate(rows, start=2) if len(row) != len(header)), 0):
        raise ValueError(f"data.{name}: found {len(rows[wrong - 2])} values in row {wrong}, expected {len(header)}")
    return header, rows
