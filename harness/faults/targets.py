"""What a fault may hit: pods by labels, owner, age and place with a seeded choice, or one named workload.

Fields to inherit, and the look-ups that belong to them. A target that matches nothing, or fewer objects than requested,
raises Inconclusive with what was found: a fault without victims proves nothing.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, field_validator, model_validator

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.containers import container_status
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.resources import NODES, PODS, WORKLOADS, Resource
from harness.common.errors import ApiError, Inconclusive
from harness.common.labels import parse_selector
from harness.faults.candidates import RUNNING, Candidate, state
from harness.faults.needs import (
    Need,
    PodTemplate,
    WorkloadManifests,
    container_exists,
    selector_matches,
    workload_exists,
)
from harness.model.quantities import Duration, show_seconds
from harness.safety.guard import check_victims

WHERE_SECONDS = 10.0
ZONE = "topology.kubernetes.io/zone"
# In place of a selector: every pod of the namespace. In place of a node or a zone: one that is drawn.
EVERY, ANY = "*", "any"
_OWNER = r"(deployment|statefulset|daemonset|replicaset|job)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?"


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
    # In Python a bool is an int, so ``count: true`` would mean 1.
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"found {value!r}, {expected}")
    return value


def _parse_pods(text: str) -> str:
    # An empty label selector matches every pod, but is not accepted as such: it may be a mistake.
    return EVERY if text.strip() == EVERY else _parse_selector(text)


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

    # Whether ``container`` may be an init container; the candidates are then the pods in which it runs.
    hits_init_containers: ClassVar[bool] = False

    selector: Annotated[str, AfterValidator(_parse_pods)] = Field(
        default=EVERY,
        description="label selector of the candidates, such as app=shop,tier=web, or '*' for all pods of the "
        "namespace; needed without owner",
    )
    count: Count = Field(default=1, description="how many of them to hit: a number, a percentage (rounded up) or all")
    owner: str | None = Field(
        default=None,
        pattern=f"^{_OWNER}$",
        description="only pods of this workload, such as deployment/shop or statefulset/db",
    )
    pick: Literal["random", "oldest", "newest"] = Field(
        default="random", description="which of the candidates to hit first; pods created in the same second are drawn"
    )
    older_than: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="only pods that were created longer ago than this, by the cluster's clock"
    )
    node: str | None = Field(
        default=None, min_length=1, description="only pods on this node; any: on one node, which is drawn"
    )
    zone: str | None = Field(
        default=None,
        min_length=1,
        description=f"only pods on nodes in this zone (label {ZONE}); any: in one zone, which is drawn",
    )
    where: list[str] | None = Field(
        default=None,
        min_length=1,
        description="a command run in each pod; only pods where it exits with 0 are candidates, such as the leader",
    )
    container: str | None = Field(
        default=None, description="container to run commands in; the first one of the pod by default"
    )

    @model_validator(mode="after")
    def _aims_at_something(self) -> Self:
        if self.owner is None and "selector" not in self.model_fields_set:
            raise ValueError(f"found neither selector nor owner, expected one; selector: '{EVERY}' means every pod")
        return self

    @property
    def selectors(self) -> Sequence[str]:
        return () if self.owner and self.selector == EVERY else (self.label_selector,)

    @property
    def label_selector(self) -> str:
        """The label selector as Kubernetes reads it: an empty one selects every pod."""
        return "" if self.selector == EVERY else self.selector

    @property
    def workloads(self) -> Sequence[str]:
        return (self.owner,) if self.owner else ()

    def templates(self, workload: WorkloadManifests) -> Sequence[PodTemplate]:
        """Return the templates of the workload whose pods are candidates."""
        selected = workload.selected(self.label_selector)
        if self.owner is None:
            return selected
        own = {id(each.item) for each in workload.of(self.owner)}
        return [each for each in selected if id(each.item) in own]

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield a selector that matches no pod, an owner that is not there, and a container that the pods lack."""
        if self.owner:
            yield from workload_exists("owner", self.owner, workload)
        yield from selector_matches("selector", self.label_selector, workload)
        yield from container_exists(
            self.container, self.templates(workload), workload, initial=self.hits_init_containers
        )

    @property
    def target_permissions(self) -> frozenset[Permission]:
        """The permissions that choosing needs."""
        execs = allow(PODS, *EXEC_VERBS, part="exec") if self.where else frozenset()
        nodes = allow(NODES, "list", place="cluster") if self.zone else frozenset()
        return allow(PODS, "list") | execs | nodes

    def choose_pods(self, api: KubeApi, namespace: str, rng: random.Random, now: float = 0.0) -> list[Object]:
        """Return the pods to hit, sorted by name: running, not being deleted, allowed by the guard.

        The choice depends only on names, ages, places and ``rng``; ``now`` is in Unix seconds, for ``olderThan``.
        Raises Inconclusive when fewer pods match than requested, ClusterRefused when the guard forbids one of the
        chosen pods.
        """
        # Sorted before the choice: with the same seed, ``rng.sample`` selects the same positions.
        matching = sorted(api.digest(PODS, namespace, self.label_selector, keep=self._candidate).items)
        running = [found for found in matching if found.state == RUNNING]
        fitting = self._in_place(api, [found for found in running if self._fits(found, now)], rng)
        candidates = (
            [found for found in fitting if self._meets_where(api, namespace, found.pod())] if self.where else fitting
        )
        wanted = how_many(self.count, len(candidates))
        if len(candidates) < wanted:
            summary = self._summary(matching, running, candidates)
            raise Inconclusive(f"{wanted} wanted, {len(candidates)} found: {summary} in namespace {namespace}")
        chosen = [found.pod() for found in sorted(self._picked(candidates, wanted, rng))]
        check_victims(chosen, namespace)
        return chosen

    def _candidate(self, pod: Object) -> Candidate:
        found = state(pod)
        if self.container in self._init_containers(pod) and found in {"Pending", RUNNING}:
            runs = "running" in (container_status(pod, self.container or "").get("state") or {})
            found = RUNNING if runs else f"not in its init container {self.container}"
        return Candidate.of(pod, found)

    def _init_containers(self, pod: Object) -> list[str]:
        """Return the init containers that may be hit, without sidecars."""
        declared = pod["spec"].get("initContainers") or () if self.hits_init_containers else ()
        return [str(each["name"]) for each in declared if each.get("restartPolicy") != "Always"]

    def _fits(self, found: Candidate, now: float) -> bool:
        of_owner = self.owner is None or found.owner == self.owner
        return of_owner and (self.older_than is None or now - found.created > self.older_than)

    def _in_place(self, api: KubeApi, found: list[Candidate], rng: random.Random) -> list[Candidate]:
        """Return the candidates on the node and in the zone; with ``any`` one of those that have a candidate."""
        if self.zone:
            nodes = api.list(NODES).items
            zones = {_name(node): (node["metadata"].get("labels") or {}).get(ZONE) for node in nodes}
            zone = _drawn(self.zone, {name for each in found if (name := zones.get(each.node))}, rng)
            found = [each for each in found if zones.get(each.node) == zone]
        if self.node:
            node = _drawn(self.node, {each.node for each in found}, rng)
            found = [each for each in found if each.node == node]
        return found

    def _picked(self, candidates: list[Candidate], wanted: int, rng: random.Random) -> list[Candidate]:
        drawn = rng.sample(candidates, len(candidates) if self.pick != "random" else wanted)
        if self.pick == "random":
            return drawn
        # Stable, so that those of the same second stay in the order in which they were drawn.
        return sorted(drawn, key=lambda each: each.created, reverse=self.pick == "newest")[:wanted]

    def container_of(self, pod: Object) -> str:
        """Return the container to run commands in: one of the pod, a sidecar, or an init container that may be hit.

        Raises Inconclusive when the pod has none of it.
        """
        sidecars = [each for each in pod["spec"].get("initContainers") or () if each.get("restartPolicy") == "Always"]
        names = [str(container["name"]) for container in [*pod["spec"]["containers"], *sidecars]]
        names += self._init_containers(pod)
        name = self.container or names[0]
        if name not in names:
            raise Inconclusive(f"pod {_name(pod)} has no container {name}, only {', '.join(names)}")
        return name

    def _meets_where(self, api: KubeApi, namespace: str, pod: Object) -> bool:
        container = self.container_of(pod)
        try:
            return api.exec(namespace, _name(pod), self.where or (), container, WHERE_SECONDS).exit_code == 0
        except ApiError as error:
            # Whether this pod is a candidate is unknown now, so a choice among the others might be a wrong one.
            raise Inconclusive(f"`where` could not be run in pod {_name(pod)}: {error}") from error

    def _summary(self, matching: list[Candidate], running: list[Candidate], candidates: list[Candidate]) -> str:
        if not matching:
            return f"no pod matches {self.selector}"
        text = f"{self.selector} matches {len(matching)}, of which {len(running)} are running"
        others = [f"{found.name} is {found.state}" for found in matching if found.state != RUNNING]
        if others:
            text += f" ({', '.join(others[:5])})"
        if limits := list(self._limits()):
            text += f"; of these must be {', '.join(limits)}"
        if self.where:
            text += f" and {len(candidates)} meet `where`"
        return text

    def _limits(self) -> Iterator[str]:
        """Yield what limits the candidates beside their labels."""
        if self.owner:
            yield f"of {self.owner}"
        if self.older_than:
            yield f"older than {show_seconds(self.older_than)}"
        if self.zone:
            yield f"in zone {self.zone}"
        if self.node:
            yield f"on node {self.node}"


class WorkloadTarget(BaseModel):
    """The field of a fault that changes one workload."""

    kinds: ClassVar[tuple[str, ...]] = tuple(WORKLOADS)

    of: str = Field(
        description="the workload, such as deployment/shop",
        json_schema_extra={"pattern": rf"^({'|'.join(WORKLOADS)})/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
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

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield a workload that is not there."""
        yield from workload_exists("of", self.of, workload)

    @property
    def resource(self) -> Resource:
        return WORKLOADS[self.of.partition("/")[0]]

    @property
    def name(self) -> str:
        return self.of.partition("/")[2]

    @property
    def target_permissions(self) -> frozenset[Permission]:
        """The permissions that finding it needs."""
        return allow(self.resource, "get")

    def find_workload(self, api: KubeApi, namespace: str) -> Object:
        """Return the workload. Raises Inconclusive when there is none."""
        found = api.find(self.resource, self.name, namespace)
        if found is None:
            raise Inconclusive(f"there is no {self.of} in namespace {namespace}")
        return found


def _drawn(wanted: str, known: set[str], rng: random.Random) -> str:
    """Return the place wanted; for ``any`` one of those known."""
    return rng.choice(sorted(known)) if wanted == ANY and known else wanted


def how_many(count: int | str, candidates: int) -> int:
    """Return the number of victims that a count means among so many candidates; at least 1."""
    if isinstance(count, int):
        return count
    if count == "all":
        # At least 1, so that an empty selection is reported as too few candidates.
        return max(1, candidates)
    # Multiplied before the division: 100 * 0.07 is 7.000000000000001 as a float and would be rounded up to 8.
    return max(1, math.ceil(candidates * int(count.rstrip("%")) / 100))


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
