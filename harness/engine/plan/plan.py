"""What an experiment would do: the victims for the seed, the calls, their undo, and reasons why it would not run."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.ports import HttpPort
from harness.cluster.fake.server import Call
from harness.cluster.kube.objects import reference
from harness.cluster.kube.permissions import Permission
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import CapabilityMissing, HarnessError
from harness.engine.preflight.admission import alert_refusals, start_refusals
from harness.engine.preflight.facts import Facts
from harness.engine.preflight.images import Images
from harness.engine.preflight.requirements import missing, permissions
from harness.engine.steps.ready_time import ready_time
from harness.engine.steps.run import Run
from harness.experiment import registry
from harness.experiment.declaration import Experiment
from harness.experiment.forecast.model import model_of
from harness.experiment.isolation import Isolated
from harness.experiment.load import Load
from harness.experiment.phases import Phases
from harness.experiment.places import homes_of
from harness.experiment.target_checks import shown as shown_target
from harness.experiment.timing import Timing
from harness.faults.base import Fault, FaultContext
from harness.judging.sample_sizes import sample_sizes
from harness.model.quantities import counted, is_duration, show_seconds
from harness.model.timeline import Victim
from harness.safety.guard.blast import Strike, refusals, workload
from harness.safety.guard.hosts import resolve
from harness.safety.undo.journal import Journal
from harness.traffic.load.replay.recording import read_recording
from harness.traffic.target.declaration import Target
from harness.traffic.target.endpoint import authority

# Owners whose pods get random names.
_RANDOM_NAMES = ("ReplicaSet", "ReplicationController", "Job", "DaemonSet")
_VERBS = {
    "POST": "create",
    "PUT": "replace",
    "PATCH": "patch",
    "DELETE": "delete",
    "EXEC": "run a command in",
    "FORWARD": "send a request to",
}


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault: its victims, the calls that would change something, in order, and their undo.

    ``guess`` lists what is only certain when the workload runs; ``unknown`` is the reason why nothing can be planned.
    ``timing`` is when it is injected and for how long; empty for the whole fault phase.
    """

    title: str
    victims: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    guess: tuple[str, ...] = ()
    unknown: str = ""
    timing: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one experiment. ``note`` lists the files of the workload that are not deployed, ``isolation`` what is
    changed in the manifests. ``refusals`` are the reasons why the experiment would not start or would inject nothing.
    ``existing`` is the namespace that it uses instead of creating ``namespaces`` and applying ``objects``."""

    title: str
    cluster: str
    namespaces: tuple[str, ...]
    objects: tuple[str, ...]
    loads: tuple[str, ...]
    probes: tuple[str, ...]
    ready: str
    phases: Phases
    faults: tuple[PlannedFault, ...]
    permissions: tuple[Permission, ...]
    objectives: tuple[str, ...] = ()
    source: str = ""
    note: str = ""
    images: tuple[str, ...] = ()
    isolation: tuple[str, ...] = ()
    refusals: tuple[str, ...] = field(default=())
    existing: str = ""


def plan(run: Run, experiment: Experiment) -> Plan:
    """Plan an experiment. Reads from the cluster, but changes nothing in it. Raises ApiError."""
    facts = Facts.of(run, experiment)
    found = [*start_refusals(facts, experiment), *alert_refusals(run), *missing(run, facts, experiment)]
    faults: tuple[PlannedFault, ...] = ()
    images: tuple[str, ...] = ()
    try:
        deployed = run.isolated(experiment, experiment.workload.rendered(run.cluster.image))
    except CapabilityMissing:
        deployed = run.isolated(experiment, experiment.workload.objects)
    else:
        supply = Images.of(run.cluster, experiment)
        images = supply.lines()
        found += map(str, supply.problems())
        faults, refused = _DryRun(run, facts, experiment, deployed).run()
        found += [text for text in refused if text not in found]
    return Plan(
        title=experiment.title,
        cluster=f"{run.cluster.ownership} cluster {run.cluster.context}",
        namespaces=tuple(_namespaces(run, experiment, deployed)),
        objects=tuple(reference(item) for item in deployed.objects),
        isolation=tuple(deployed.notes()),
        loads=tuple(_loads(run, experiment)),
        probes=tuple(f"{probing.title} to {_target(experiment, probing.aim.target)}" for probing in experiment.prober),
        ready=str(ready_time(experiment, experiment.workload.objects)),
        phases=experiment.phases,
        faults=faults,
        permissions=tuple(sorted(permissions(experiment, run.load_place(experiment)))),
        objectives=tuple(_objectives(run, experiment)),
        source=str(experiment.workload.origin),
        note=experiment.workload.note,
        images=images,
        refusals=tuple(found),
        existing=experiment.existing,
    )


def _namespaces(run: Run, experiment: Experiment, deployed: Isolated) -> Iterator[str]:
    arms = (False, True) if experiment.control else (False,)
    if not experiment.existing:
        yield from (own.name for own in deployed.namespaces)
        if experiment.control:
            yield from (own.name for own in run.isolated(experiment, (), control=True).namespaces)
    if run.load_place(experiment) == "cluster":
        yield from (run.load_namespace_of(experiment, control=control) for control in arms)


def _loads(run: Run, experiment: Experiment) -> Iterator[str]:
    for name, load in experiment.every_load.items():
        yield f"load{' ' + name if name else ''}: {_load(run, experiment, load)}"


def _load(run: Run, experiment: Experiment, load: Load) -> str:
    seconds = experiment.phases.total
    if load.replay:
        recording = read_recording(load.replay)
        most = f"at most {recording.peak * load.replay.speed:g}/s for {seconds:g} s"
        return f"{load.described} to {_target(experiment, load.target)}: {most}; {recording}"
    if load.rate is None:
        waits = "a closed model: users wait for their responses, so a stall reduces the load and hides itself"
        return f"{load.described} to {_target(experiment, load.target)} for {seconds:g} s, {waits}"
    rate = load.rate * run.sources.load.profile(load.profile).peak
    what = f"one task of {load.described}" if load.locustfile else f"{load.behaviour}"
    noun = "arrivals" if load.locustfile else "requests"
    most = f"at most {rate:g}/s for {seconds:g} s, {rate * seconds:,.0f} {noun}"
    where = ""
    if run.place_of(load, experiment.workload) == "cluster":
        where = f", generated by {counted(load.workers, 'pod')} in the cluster"
    elif load.workers > 1:
        where = f", generated by {load.workers} processes on this machine"
    return f"{what} to {_target(experiment, load.target)}, profile {load.profile}: {most}{load.scaling}{where}"


def _objectives(run: Run, experiment: Experiment) -> Iterator[str]:
    sizes = {size.number: f", {size}" for size in sample_sizes(experiment, run.sources.load)}
    for number, objective in enumerate(experiment.objectives):
        yield f"{objective.kind}: {objective.title}{sizes.get(number, '')}"


def _target(experiment: Experiment, target: Target) -> str:
    """Return a target with what is certain about it before anything runs."""
    if target.kind != "url":
        return shown_target(target, experiment.workload)
    try:
        addresses = resolve(target.name)
    except OSError as error:
        return f"{target}, whose host cannot be resolved: {error.strerror or error}"
    return f"{target} at {authority(addresses[0], target.address[1])}"


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A fault and its victims on the model. ``context`` draws the same ones again; ``unknown``: why there are none."""

    fault: Fault
    context: FaultContext
    victims: tuple[Victim, ...] = ()
    unknown: str = ""


class _DryRun:
    """Runs the faults of one experiment on a model of the cluster, in their order."""

    def __init__(self, run: Run, facts: Facts, experiment: Experiment, deployed: Isolated) -> None:
        self._run, self._facts, self._experiment = run, facts, experiment
        self._deployed = deployed
        self._model = model_of(run.cluster, deployed.objects, facts.namespace)
        self._rng = run.random(experiment.draw)
        self._names = {old: new for own in self._own() for old, new in _names(self._model, own)}
        self._strikes: list[tuple[Timing, Strike]] = []

    def run(self) -> tuple[tuple[PlannedFault, ...], list[str]]:
        """Return the planned faults, and the reasons why the guard refuses those that are injected together.

        All victims are chosen before the first fault is injected, as in a real run without timings. For a fault with a
        time they are chosen again at its turn, when the workload is as the faults before have left it."""
        with TemporaryDirectory(prefix="resilience-plan-") as folder:
            chosen = [self._choose(number, fault, Path(folder)) for number, fault in self._listed()]
            refused = [self._shown(text) for text in self._refused()]
            planned = []
            for number, each in enumerate(chosen):
                timing = self._experiment.timing(number)
                fault = self._planned(each if timing.immediate else self._chosen_again(each))
                planned.append(replace(fault, timing=str(timing)))
            return tuple(planned), refused

    def _refused(self) -> list[str]:
        facts, safety = self._facts, self._experiment.safety
        # The guard counts what is in effect together. What still is when a later fault is injected, only the run knows.
        together = [strike for timing, strike in self._strikes if timing.immediate]
        groups = [together, *([strike] for timing, strike in self._strikes if not timing.immediate)]
        found: list[str] = []
        for group in filter(None, groups):
            found += refusals(self._model.api, self._own(), group, facts.policy, safety, now=facts.now)
        return list(dict.fromkeys(found))

    def _own(self) -> list[str]:
        return [own.name for own in self._deployed.namespaces]

    def _listed(self) -> Iterator[tuple[int, Fault]]:
        image = self._run.cluster.image
        yield from enumerate(registry.render_fault(fault, image) for fault in self._experiment.faults)

    def _choose(self, number: int, fault: Fault, folder: Path) -> _Chosen:
        file = folder / f"{number}.jsonl"
        model, namespace = self._model, self._facts.namespace
        journal = Journal(model, file, self._run.id, self._run.unique_name(self._experiment), model.clock)
        home = homes_of(fault, self._experiment.workload)[0]
        place = next((own.name for own in self._deployed.namespaces if own.replaces == home), namespace)
        context = FaultContext(model, place, self._rng, model.clock, journal)
        again = replace(context, rng=copy(self._rng))
        self._answer_commands(fault)
        try:
            victims = fault.choose(context)
        except HarnessError as error:
            return _Chosen(fault, again, unknown=self._shown(str(error)))
        self._strikes.append((self._experiment.timing(number), fault.strike(victims)))
        return _Chosen(fault, again, victims)

    def _chosen_again(self, chosen: _Chosen) -> _Chosen:
        """Return a fault with the victims that it has now, drawn as before; without any, as it was."""
        # The pods that a fault before has made have names of their own.
        self._names |= {
            old: new for own in self._own() for old, new in _names(self._model, own) if old not in self._names
        }
        self._answer_commands(chosen.fault)
        try:
            return replace(chosen, victims=chosen.fault.choose(chosen.context), unknown="")
        except HarnessError:
            return chosen

    def _planned(self, chosen: _Chosen) -> PlannedFault:
        fault, context, victims = chosen.fault, chosen.context, chosen.victims
        if chosen.unknown:
            return PlannedFault(_title(fault), unknown=chosen.unknown)
        calls = self._model.server.calls
        before = len(calls)
        self._answer_commands(fault)
        try:
            fault.inject(context, victims)
        except HarnessError as error:
            return PlannedFault(_title(fault), unknown=self._shown(str(error)))
        written = [call for call in calls[before:] if call.writes]
        return PlannedFault(
            title=_title(fault),
            victims=tuple(self._shown(_victim(victim)) for victim in victims),
            # A call that is tried again, such as an eviction that a budget forbids, is shown once.
            calls=tuple(self._shown(text) for text in dict.fromkeys(map(_call, written))),
            undo=tuple(self._shown(entry.description) for entry in reversed(context.journal.entries)),
            guess=tuple(self._guesses(fault, victims)),
        )

    def _answer_commands(self, fault: Fault) -> None:
        # The model runs no commands in containers; each fault supplies the output that it expects. Every port of a pod
        # answers a request with 200.
        def answer(_namespace: str, _pod: str, _container: str | None, command: list[str]) -> ExecResult:
            return fault.pretend(command)

        self._model.server.exec = answer  # type: ignore[assignment]
        self._model.server.forward = lambda _namespace, pod, port: HttpPort(pod, port)

    def _guesses(self, fault: Fault, victims: tuple[Victim, ...]) -> Iterator[str]:
        if any(victim.kind == "Pod" and victim.name in self._names for victim in victims):
            yield "pod names are random; the number is the rank among the sorted names"
        if getattr(fault, "where", None):
            yield "only pods that match `where` are candidates; in a dry run no command is run, so all pods match"
        if getattr(fault, "hosting", None):
            yield "nodes are chosen by the pods that run on them; the dry run assumes an even spread"

    def _shown(self, text: str) -> str:
        for name, shown in self._names.items():
            text = text.replace(name, shown)
        return text


def _names(model: FakeCluster, namespace: str) -> Iterator[tuple[str, str]]:
    """Map each random pod name of the model to the name to show: the rank of the pod in its workload."""
    listed = model.server.store.list(PODS, namespace)
    pods = [pod for pod in listed if (pod["metadata"].get("ownerReferences") or [{}])[0].get("kind") in _RANDOM_NAMES]
    for pod in pods:
        of, name = workload(pod), pod["metadata"]["name"]
        siblings = [other["metadata"]["name"] for other in pods if workload(other) == of]
        rank = f"{sorted(siblings).index(name) + 1} of {len(siblings)}"
        yield name, f"{str(of).rpartition('/')[2]}-…(number {rank})"


def _title(fault: Fault) -> str:
    given = fault.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for name, of in type(fault).model_fields.items():
        key = of.serialization_alias or of.alias or name
        if given.get(key) is not None and is_duration(of.annotation, of.metadata):
            # As files have it: no duration is 0 s, not 0 ms.
            given[key] = show_seconds(given[key]) if given[key] else "0 s"
    return f"{fault.kind} {', '.join(f'{name}: {value}' for name, value in given.items())}".strip()


def _victim(victim: Victim) -> str:
    # Omit the node of a pod: only the scheduler decides it.
    return str(victim) if victim.kind == "Pod" else f"{victim} {victim.detail}".strip()


def _call(call: Call) -> str:
    if call.method == "NODE":
        action, node = call.path.strip("/").split("/", 1)
        return f"machine of node {node}: {action}"
    parts = call.path.strip("/").split("/")[2 if call.path.startswith("/api/") else 3 :]
    what = "/".join(parts[2:] if call.namespace and len(parts) > 2 else parts)
    what = what.removesuffix("/exec").removesuffix("/portforward")
    verb = "apply" if call.method == "PATCH" and "fieldManager" in call.query else _VERBS.get(call.method, call.method)
    grace = call.body.get("gracePeriodSeconds") if call.method == "DELETE" and isinstance(call.body, dict) else None
    within = "" if grace is None else f", grace period {grace} s"
    return f"{verb} {what} in {call.namespace}{within}" if call.namespace else f"{verb} {what}"
