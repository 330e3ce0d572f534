"""Using up the memory of containers: against a fake world, and the script in a real shell without a limit."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.resources import DEPLOYMENTS
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import ApiError, Inconclusive
from harness.experiment.fault_needs import Manifests
from harness.experiment.workload_checks import load_checked
from harness.faults.container_end import MAIN_SCRIPT
from harness.faults.oom_kill import FILL_SCRIPT, OomKill
from tests.fake_world import NAMESPACE, World


class Memory:
    """Every container's memory, and what its end looks like; ``limit`` is that of the manifest."""

    def __init__(self, world: World, limit: str = "64Mi") -> None:
        self.world = world
        self.reason = "OOMKilled"
        self.answer: ExecResult | ApiError = ExecResult("", "", 137)
        self.filled: list[list[str]] = []
        world.containers.handlers[MAIN_SCRIPT] = lambda *_: ExecResult("7 0 0 podinfo\n", "", 0)
        world.containers.handlers[FILL_SCRIPT] = self

        def limited(item: dict[str, Any]) -> dict[str, Any]:
            template = item["spec"]["template"]
            container = {**template["spec"]["containers"][0], "resources": {"limits": {"memory": limit}}}
            changed = {**template, "spec": {**template["spec"], "containers": [container]}}
            return {**item, "spec": {**item["spec"], "template": changed}}

        if limit:
            world.cluster.server.store.update(DEPLOYMENTS, NAMESPACE, "podinfo", limited)

    def __call__(self, _namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        self.filled.append([pod, *command[-3:]])
        if self.reason:
            self.world.restart_container(pod, container, reason=self.reason)
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer


def injected(world: World, **fields: Any) -> tuple[bool, str]:
    context, fault = world.context(), OomKill(**{"selector": "app=podinfo", **fields})
    victims = fault.choose(context)
    fault.inject(context, victims)
    found = fault.evidence(context, victims)
    return found.proven, found.text


def test_main_process_and_limit_are_given_to_the_script(world: World) -> None:
    memory = Memory(world)
    proven, text = injected(world)
    (pod, *numbers) = memory.filled[0]
    assert numbers == ["7", str(64 * 1024**2), "20"]
    assert (proven, text) == (
        True,
        f"{pod}: container podinfo ended with exit code 137 (OOMKilled), restartCount 0 → 1",
    )


def test_connection_that_ends_with_the_container_is_no_error(world: World) -> None:
    Memory(world).answer = ApiError(0, "ConnectionLost", "the connection ended before the command did")
    assert injected(world)[0]


@pytest.mark.parametrize(("reason", "text"), [("Error", "not by this fault"), ("", "has not ended")])
def test_other_end_is_no_evidence(world: World, reason: str, text: str) -> None:
    Memory(world).reason = reason
    proven, found = injected(world)
    assert not proven
    assert text in found


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ExecResult("", "sh: can't create /proc/1/oom_score_adj: Permission denied", 1), "Permission denied"),
        (ExecResult("", "there is no sleep", 1), "there is no sleep; it needs sh, sleep"),
        (ApiError(403, "Forbidden", "no"), "403 Forbidden"),
    ],
)
def test_script_that_cannot_begin_is_inconclusive(world: World, answer: ExecResult | ApiError, why: str) -> None:
    memory = Memory(world)
    memory.answer, memory.reason = answer, ""
    with pytest.raises(Inconclusive, match=f"cannot be used up: .*{why}"):
        injected(world)


def test_container_without_a_limit_is_refused_before_anything(world: World) -> None:
    memory = Memory(world, limit="")
    with pytest.raises(Inconclusive, match="it has no memory limit, so that the memory of its node would be used up"):
        injected(world)
    assert memory.filled == []


def test_manifest_without_a_limit_is_found_by_validate(tmp_path: Any) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: podinfo}}\n"
    text += "spec: {containers: [{name: main, image: a}]}\n"
    (tmp_path / "pod.yaml").write_text(text)
    (need,) = OomKill(selector="app=podinfo").needs_of(Manifests(load_checked(tmp_path)))
    assert need == (
        ("container",),
        "container main of pod/a cannot run out of memory: it has no memory limit, so that the memory of its node "
        "would be used up",
    )


def test_script_ends_by_itself_if_the_kernel_does_nothing() -> None:
    """A process of this test as the main process, and a small limit that nothing enforces."""
    with subprocess.Popen(["sleep", "60"]) as main:
        try:
            command = ["sh", "-c", FILL_SCRIPT, "sh", str(main.pid), "1000000", "0.1"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            score = Path(f"/proc/{main.pid}/oom_score_adj").read_text()
        finally:
            main.kill()
    assert (done.returncode, done.stderr) == (0, "")
    assert score.strip() == "1000"


def test_script_reports_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    done = subprocess.run(
        ["sh", "-c", FILL_SCRIPT, "sh", str(gone.pid), "1000", "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr
