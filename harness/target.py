"""What a fault is aimed at: pods by label selector with a seeded choice, or one named workload.

Fields to inherit, and the look-ups that go with them. Whatever matches nothing, or less than asked for, raises
Inconclusive saying what was found: a fault that hits nothing proves nothing.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, field_validator

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.resources import PODS, WORKLOADS, Resource
from harness.errors import ApiError, Inconclusive
from harness.guard import check_victims
from harness.labels import parse_selector

WHERE_SECONDS = 10.0
RUNNING = "Running"


def _parse_selector(text: str) -> str:
    if not text.strip():
        raise ValueError("found an empty selector, which would match every pod; expected one such as app=shop")
    parse_selector(text)
    return text


def _parse_count(value: object) -> object:
    expected = "expected a whole number from 1, a percentage such as 50%, or all"
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+)%", value)
        if value != "all" and not (found and 1 <= int(found[1]) <= 100):
            raise ValueError(f"found {value!r}, {expected}")
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"found {value!r}, {expected}")
    return value


Selector = Annotated[str, AfterValidator(_parse_selector)]
Count = Annotated[
    int | str,
    BeforeValidator(_parse_count),
    Field(
        json_schema_extra={"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^(all|\d+%)$"}]}
    ),
]


class PodTarget(BaseModel):
    """Fields of a fault that hits pods."""

    selector: Selector = Field(description="label selector of the pods to choose from, such as app=shop,tier=web")
    count: Count = Field(1, description="how many of them: a number, a percentage (rounded up) or all")
    where: list[str] | None = Field(
        None,
        min_length=1,
        description="a command run in each pod; those in which it exits with 0 are chosen from, such as the leader",
    )
    container: str | None = Field(None, description="the container to run commands in; the pod's first one by default")

    @property
    def selectors(self) -> Sequence[str]:
        return (self.selector,)

    @property
    def target_permissions(self) -> frozenset[Permission]:
        """What choosing needs."""
        asking = allow(PODS, *EXEC_VERBS, part="exec") if self.where else frozenset()
        return allow(PODS, "list") | asking

    def choose_pods(self, api: KubeApi, namespace: str, rng: random.Random) -> list[Object]:
        """The pods to hit, sorted by name: running, not being deleted, allowed by the guard.

        The choice depends on the names and on ``rng`` alone. Raises Inconclusive when fewer match than asked for,
        ClusterRefused when the guard forbids one of those chosen.
        """
        matching = sorted(api.digest(PODS, namespace, self.selector, keep=_Candidate.of).items)
        running = [found for found in matching if found.state == RUNNING]
        candidates = (
            [found for found in running if self._answers(api, namespace, found.pod())] if self.where else running
        )
        wanted = how_many(self.count, len(candidates))
        if len(candidates) < wanted:
            there_is = self._there_is(matching, running, candidates)
            raise Inconclusive(f"{wanted} wanted, {len(candidates)} found: {there_is} in namespace {namespace}")
        chosen = [found.pod() for found in sorted(rng.sample(candidates, wanted))]
        check_victims(chosen, namespace)
        return chosen

    def container_of(self, pod: Object) -> str:
        """The container to run commands in. Raises Inconclusive when the pod has none of that name."""
        names = [str(container["name"]) for container in pod["spec"]["containers"]]
        name = self.container or names[0]
        if name not in names:
            raise Inconclusive(f"pod {_name(pod)} has no container {name}, only {', '.join(names)}")
        return name

    def _answers(self, api: KubeApi, namespace: str, pod: Object) -> bool:
        container = self.container_of(pod)
        try:
            return api.exec(namespace, _name(pod), self.where or (), container, WHERE_SECONDS).exit_code == 0
        except ApiError as error:
            # Whether this pod is one of those meant is unknown now, so a choice among the others might be a wrong one.
            raise Inconclusive(f"`where` could not be asked in pod {_name(pod)}: {error}") from error

    def _there_is(self, matching: list[_Candidate], running: list[_Candidate], candidates: list[_Candidate]) -> str:
        if not matching:
            return f"no pod matches {self.selector}"
        text = f"{self.selector} matches {len(matching)}, of which {len(running)} are running"
        others = [f"{found.name} is {found.state}" for found in matching if found.state != RUNNING]
        if others:
            text += f" ({', '.join(others[:5])})"
        if self.where:
            text += f" and {len(candidates)} meet `where`"
        return text


class WorkloadTarget(BaseModel):
    """The field of a fault that changes one workload."""

    kinds: ClassVar[tuple[str, ...]] = tuple(WORKLOADS)

    of: str = Field(
        description="the workload, such as deployment/shop",
        json_schema_extra={"pattern": r"^(deployment|statefulset|daemonset)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
    )

    @field_validator("of")
    @classmethod
    def _check_of(cls, value: str) -> str:
        kind, _, name = value.partition("/")
        if kind not in cls.kinds or not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name):
            raise ValueError(f"found {value!r}, expected {' or '.join(f'{kind}/<name>' for kind in cls.kinds)}")
        return value

    @property
    def workloads(self) -> Sequence[str]:
        return (self.of,)

    @property
    def resource(self) -> Resource:
        return WORKLOADS[self.of.partition("/")[0]]

    @property
    def name(self) -> str:
        return self.of.partition("/")[2]

    @property
    def target_permissions(self) -> frozenset[Permission]:
        """What finding it needs."""
        return allow(self.resource, "get")

    def find_workload(self, api: KubeApi, namespace: str) -> Object:
        """The workload. Raises Inconclusive when there is none."""
        found = api.find(self.resource, self.name, namespace)
        if found is None:
            raise Inconclusive(f"there is no {self.of} in namespace {namespace}")
        return found


class _Candidate(NamedTuple):
    """A pod to choose from. As text, since thousands may match and few are chosen."""

    name: str
    state: str
    text: bytes

    @classmethod
    def of(cls, pod: Object) -> _Candidate:
        return cls(_name(pod), state(pod), orjson.dumps(pod))

    def pod(self) -> Object:
        return {"apiVersion": PODS.group_version, "kind": PODS.kind, **orjson.loads(self.text)}


def how_many(count: int | str, candidates: int) -> int:
    """The number that a count means among so many candidates; at least one, for none is no target."""
    if isinstance(count, int):
        return count
    if count == "all":
        return max(1, candidates)
    return max(1, math.ceil(candidates * int(count.rstrip("%")) / 100))


def is_running(pod: Object) -> bool:
    """Whether a pod's containers run and nobody has asked for its deletion."""
    return state(pod) == RUNNING


def state(pod: Object) -> str:
    """``Terminating``, or the pod's phase."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    return str(pod.get("status", {}).get("phase", "Unknown"))


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
