"""What an experiment would do: victims by the seeded choice, calls, what undoes them, and what stands against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import registry
from harness.admission import admit
from harness.cluster.api import Object
from harness.cluster.fake import FakeCluster
from harness.cluster.fake_server import Call
from harness.cluster.permissions import Permission
from harness.cluster.resources import PODS
from harness.cluster.transport import ExecResult
from harness.errors import CapabilityMissing, ClusterRefused, HarnessError
from harness.experiment import Experiment
from harness.fault import Fault, FaultContext
from harness.guard.blast import Strike, refusals, workload
from harness.manifests import reference
from harness.observation import Victim
from harness.rehearsal.model import model_of
from harness.requirements import missing, permissions
from harness.run import Run
from harness.undo import Journal

_VERBS = {"POST": "create", "PUT": "replace", "PATCH": "patch", "DELETE": "delete", "EXEC": "run a command in"}


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault: whom it would hit, the calls that would change something, in order, and what would undo them.

    ``guess`` tells what of it only shows when the workload runs; ``unknown`` why nothing can be told at all."""

    title: str
    victims: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    guess: tuple[str, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One experiment. ``against`` is everything because of which it would not begin, or nothing would be injected."""

    title: str
    namespaces: tuple[str, ...]
    objects: tuple[str, ...]
    load: str
    phases: dict[str, float]
    faults: tuple[PlannedFault, ...]
    permissions: tuple[Permission, ...]
    against: tuple[str, ...] = field(default=())


def plan(run: Run, experiment: Experiment) -> Plan:
    """Look ahead. Reads from the cluster and changes nothing in it. Raises ApiError."""
    namespace = run.namespace_of(experiment)
    against = [*_refused(run, experiment), *missing(run, experiment)]
    faults: tuple[PlannedFault, ...] = ()
    try:
        objects = experiment.workload.rendered(run.cluster.image)
    except CapabilityMissing:
        objects = []
    else:
        faults, refused = _Rehearsal(run, experiment, namespace, objects).play()
        against += refused
    return Plan(
        title=experiment.title,
        namespaces=(namespace, *([run.namespace_of(experiment, control=True)] if experiment.control else [])),
        objects=tuple(reference(item) for item in experiment.workload.objects),
        load=_load(run, experiment),
        phases=experiment.phases.model_dump(),
        faults=faults,
        permissions=tuple(sorted(permissions(experiment))),
        against=tuple(against),
    )


def _refused(run: Run, experiment: Experiment) -> list[str]:
    try:
        admit(run, experiment)
    except ClusterRefused as error:
        return [str(error)]
    return []


def _load(run: Run, experiment: Experiment) -> str:
    load = experiment.load
    if load is None:
        return ""
    rate = load.rate * run.sources.load.profile(load.profile).peak
    seconds = sum(experiment.phases.model_dump().values())
    most = f"at most {rate:g}/s for {seconds:g} s, {rate * seconds:,.0f} requests"
    return f"{load.behaviour} to {load.target}, profile {load.profile}: {most}"


class _Rehearsal:
    """The faults of one experiment, played on the model in the order in which they would be."""

    def __init__(self, run: Run, experiment: Experiment, namespace: str, objects: list[Object]) -> None:
        self._run, self._experiment, self._namespace = run, experiment, namespace
        self._model = model_of(run.cluster, objects, namespace)
        self._rng = run.random(experiment.name)
        self._names = dict(_names(self._model, namespace))
        self._chosen: list[tuple[Fault, tuple[Victim, ...]]] = []

    def play(self) -> tuple[tuple[PlannedFault, ...], list[str]]:
        """Every fault, and what the guard has against all of them together. All are chosen before the first is
        injected, as in the run."""
        with TemporaryDirectory(prefix="resilience-plan-") as folder:
            looked = [self._look(fault, Path(folder) / f"{number}.jsonl") for number, fault in self._listed()]
            refused = [self._read(text) for text in self._refused()]
            return tuple(self._told(*each) for each in looked), refused

    def _refused(self) -> list[str]:
        strikes = [
            Strike(fault.kind, victims, {victim: fault.takes(victim) for victim in victims}, fault.asks_budgets)
            for fault, victims in self._chosen
        ]
        policy, safety = self._run.policy, self._experiment.safety
        return refusals(self._model.api, self._namespace, strikes, policy, safety) if strikes else []

    def _listed(self) -> Iterator[tuple[int, Fault]]:
        image = self._run.cluster.image
        yield from enumerate(registry.render_fault(fault, image) for fault in self._experiment.faults)

    def _look(self, fault: Fault, file: Path) -> tuple[Fault, FaultContext, tuple[Victim, ...], str]:
        model = self._model
        journal = Journal(model, file, self._run.id, self._namespace, model.clock)
        context = FaultContext(model, self._namespace, self._rng, model.clock, journal)
        self._pretend(fault)
        try:
            victims = fault.choose(context)
        except HarnessError as error:
            return fault, context, (), self._read(str(error))
        self._chosen.append((fault, victims))
        return fault, context, victims, ""

    def _told(self, fault: Fault, context: FaultContext, victims: tuple[Victim, ...], unknown: str) -> PlannedFault:
        if unknown:
            return PlannedFault(_title(fault), unknown=unknown)
        calls = self._model.server.calls
        before = len(calls)
        self._pretend(fault)
        try:
            fault.inject(context, victims)
        except HarnessError as error:
            return PlannedFault(_title(fault), unknown=self._read(str(error)))
        written = [call for call in calls[before:] if call.writes]
        return PlannedFault(
            title=_title(fault),
            victims=tuple(self._read(_whom(victim)) for victim in victims),
            calls=tuple(self._read(_words(call)) for call in written),
            undo=tuple(self._read(entry.description) for entry in reversed(context.journal.entries)),
            guess=tuple(self._guesses(fault, victims)),
        )

    def _pretend(self, fault: Fault) -> None:
        def answer(_namespace: str, _pod: str, _container: str | None, command: list[str]) -> ExecResult:
            return fault.pretend(command)

        self._model.server.exec = answer  # type: ignore[assignment]

    def _guesses(self, fault: Fault, victims: tuple[Victim, ...]) -> Iterator[str]:
        if any(victim.kind == "Pod" and victim.name in self._names for victim in victims):
            yield "pods of a Deployment get their names when they are made; chosen is the rank among the sorted names"
        if getattr(fault, "where", None):
            yield "only pods that meet `where` will be chosen from; here all do, since no command is run"
        if getattr(fault, "hosting", None):
            yield "nodes are chosen by the pods that they will run; here pods are spread evenly"

    def _read(self, text: str) -> str:
        for name, shown in self._names.items():
            text = text.replace(name, shown)
        return text


def _names(model: FakeCluster, namespace: str) -> Iterator[tuple[str, str]]:
    """What to call the pods whose names the model has made up: their rank in their workload."""
    pods = [pod for pod in model.server.store.list(PODS, namespace) if "pod-template-hash" in pod["metadata"]["labels"]]
    for pod in pods:
        of = workload(pod)
        siblings = [other["metadata"]["name"] for other in pods if workload(other) == of]
        name = pod["metadata"]["name"]
        rank = f"{sorted(siblings).index(name) + 1} of {len(siblings)}"
        yield name, f"{str(of).rpartition('/')[2]}-…(number {rank})"


def _title(fault: Fault) -> str:
    given = fault.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return f"{fault.kind} {', '.join(f'{name}: {value}' for name, value in given.items())}".strip()


def _whom(victim: Victim) -> str:
    # On which node a pod will run is for the scheduler to say.
    return str(victim) if victim.kind == "Pod" else f"{victim} {victim.detail}".strip()


def _words(call: Call) -> str:
    if call.method == "NODE":
        action, node = call.path.strip("/").split("/", 1)
        return f"machine of node {node}: {action}"
    parts = call.path.strip("/").split("/")[2 if call.path.startswith("/api/") else 3 :]
    what = "/".join(parts[2:] if call.namespace and len(parts) > 2 else parts)
    verb = "apply" if call.method == "PATCH" and "fieldManager" in call.query else _VERBS.get(call.method, call.method)
    grace = call.body.get("gracePeriodSeconds") if call.method == "DELETE" and isinstance(call.body, dict) else None
    within = "" if grace is None else f", grace period {grace} s"
    return f"{verb} {what.removesuffix('/exec')} in {call.namespace}{within}" if call.namespace else f"{verb} {what}"
