"""The examples of all faults in the fake world, and what a fault must declare for its contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from harness.cluster.kube.client import Object
from harness.cluster.kube.patches.strategic import copied
from harness.cluster.kube.resources import API_SERVICES, DEPLOYMENTS, NODES
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import Inconclusive
from harness.experiment import registry
from harness.faults.base import Effect, Fault
from harness.faults.container_end import MAIN_SCRIPT
from harness.faults.oom_kill import FILL_SCRIPT
from tests.fake_metrics import metrics_server
from tests.fake_world import NAMESPACE, UnknownScriptError, World
from tests.live.killed import FAULTS, NODE_FAULTS

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests/contract/fault_examples.py"
# The line of docs/kill-matrix.md with the kinds without a column: measuring needs root and half an hour.
NOT_MEASURED = "Not measured yet:"


def _image_is_missing(world: World) -> None:
    world.kubelet.missing.add("does-not:exist")


def _containers_restart(world: World) -> None:
    def run(_namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        if command[-1] != "0":
            world.restart_container(pod, container)
        return ExecResult("7 0 0 podinfo\n", "", 0)

    world.containers.handlers[MAIN_SCRIPT] = run


def _two_revisions(world: World) -> None:
    change = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
    world.api.patch(DEPLOYMENTS, "podinfo", change, NAMESPACE)


def _paused(world: World) -> None:
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"paused": True}}, NAMESPACE)


def _memory_runs_out(world: World) -> None:
    def limited(item: Object) -> Object:
        spec = copied(item["spec"])
        spec["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
        return {**item, "spec": spec}

    def run(_namespace: str, pod: str, container: str | None, _command: Sequence[str]) -> ExecResult:
        world.restart_container(pod, container, reason="OOMKilled")
        return ExecResult("", "", 137)

    world.cluster.server.store.update(DEPLOYMENTS, NAMESPACE, "podinfo", limited)
    _containers_restart(world)
    world.containers.handlers[FILL_SCRIPT] = run


# What the fake world needs for a fault's example to take effect, such as handlers for its scripts (see
# tests/fake_world.py). Most faults need nothing.
PREPARE: dict[str, Callable[[World], None]] = {
    "badRollout": _image_is_missing,
    "containerKill": _containers_restart,
    "resume": _paused,
    "rollback": _two_revisions,
    "oomKill": _memory_runs_out,
    "metricsOutage": metrics_server,
}


def specs(world: World) -> list[Any]:
    """Return the specs of all Deployments."""
    return [item["spec"] for item in world.cluster.server.store.list(DEPLOYMENTS, NAMESPACE)]


def cordoned(world: World) -> set[str]:
    """Return the names of the nodes that take no new pods."""
    nodes = world.cluster.server.store.list(NODES)
    return {item["metadata"]["name"] for item in nodes if (item.get("spec") or {}).get("unschedulable")}


def metrics_services(world: World) -> list[Any]:
    """Return what serves the metrics of pods: the specs and annotations of all APIServices."""
    found = world.cluster.server.store.list(API_SERVICES)
    return [(item["spec"], item["metadata"].get("annotations") or {}) for item in found]


# How each effect is read from the fake world.
EFFECTS: dict[Effect, Callable[[World], Any]] = {
    Effect.PODS: World.pods,
    Effect.WORKLOADS: specs,
    Effect.CONTAINERS: World.container_states,
    Effect.PROCESSES: lambda world: set(world.processes.stopped),
    Effect.APPLICATIONS: lambda world: set(world.switched),
    Effect.NODES: cordoned,
    Effect.STRESS: lambda world: world.stress.now(),
    Effect.MACHINES: lambda world: set(world.cluster.machines.broken),
    Effect.METRICS_API: metrics_services,
}


def example(kind: str, world: World) -> Fault:
    """Return the example of a kind, in a world that is prepared for it."""
    PREPARE.get(kind, lambda _: None)(world)
    return registry.faults()[kind].model_validate(registry.faults()[kind].example)


@cache
def missing(kind: str) -> tuple[str, ...]:
    """Return what a kind does not declare although its contract tests need it."""
    model = registry.faults()[kind]
    where = f"class {model.__name__} in {model.__module__.replace('.', '/')}.py"
    found = []
    if not model.example:
        found.append(f"{where}: no `example: ClassVar[Mapping[str, Any]]`, the parameters that these tests use")
    effect = getattr(model, "effect", None)
    if not isinstance(effect, Effect):
        found.append(f"{where}: no `effect: ClassVar[Effect]` (add a new one to Effect in harness/faults/base.py)")
    elif effect not in EFFECTS:
        found.append(f"{HERE}: EFFECTS does not read Effect.{effect.name} from the fake world")
    return (*found, *(() if found else _missing_in_the_world(kind)))


def _missing_in_the_world(kind: str) -> Iterator[str]:
    with TemporaryDirectory() as folder:
        world = World.build(Path(folder))
        context = world.context()
        try:
            fault = example(kind, world)
            victims = fault.choose(context)
            fault.inject(context, victims)
            fault.evidence(context, victims)
            context.journal.undo_all(registry.undo_actions())
        except ValidationError as error:
            yield f"the example of {kind} is refused: {error}"
        except UnknownScriptError as error:
            yield f"{HERE}: PREPARE[{kind!r}] does not register a handler: {error}"
        except Inconclusive as error:
            yield f"the example of {kind} is Inconclusive in the fake world (tests/fake_world.py): {error}"
        except Exception as error:  # noqa: BLE001 - one failure with a list, instead of this error in every test
            yield f"the example of {kind} raises {error!r} in the fake world (tests/fake_world.py)"


def missing_elsewhere(kind: str) -> Iterator[str]:
    """Yield what the other places that list all faults lack. The kill matrix runs on a real cluster, with parameters
    that are as quick as possible there."""
    disruptive = registry.faults()[kind].disruptive
    wanted, other = (NODE_FAULTS, FAULTS) if disruptive else (FAULTS, NODE_FAULTS)
    if kind not in wanted or kind in other:
        table = "NODE_FAULTS" if disruptive else "FAULTS"
        yield f"tests/live/killed.py: add its parameters, for a workload of pods app=target, to {table} and to no other"
    if kind not in in_the_kill_matrix((ROOT / "docs/kill-matrix.md").read_text()):
        command = f"KILL_FAULT={kind} KILL_TABLE=FOLDER pytest --cluster=local tests/live/test_kill_matrix.py"
        yield (
            f"docs/kill-matrix.md: no column for {kind}: add it to the line '{NOT_MEASURED} KIND, KIND', or measure it "
            f"as root with `{command} -m kill_matrix` (about half an hour)"
        )
    if f"`{kind}`" not in (ROOT / "docs/reference.md").read_text():
        yield "docs/reference.md: it is not there; write the file with `python -m scripts.reference`"


def in_the_kill_matrix(text: str) -> set[str]:
    """Return the kinds that have a column in the kill matrix, or are listed as not measured yet."""
    kinds: set[str] = set()
    for line in text.splitlines():
        if line.startswith("| step |"):
            kinds |= {cell.strip() for cell in line.split("|")}
        elif line.startswith(NOT_MEASURED):
            kinds |= {kind.strip(" .`") for kind in line.removeprefix(NOT_MEASURED).split(",")}
    return kinds


def effects(world: World) -> dict[Effect, Any]:
    """Return everything that a fault may change, as it is now."""
    return {effect: read(world) for effect, read in EFFECTS.items()}
