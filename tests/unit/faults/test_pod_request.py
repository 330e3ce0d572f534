"""Requests to applications' own switches."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.fake.ports import HttpPort
from harness.cluster.kube.resources import PODS
from harness.common.errors import HarnessError, Inconclusive, NotYet
from harness.faults.pod_request import PodRequest
from tests.fake_world import NAMESPACE, World

SET = {"path": "/switch/liveness?to=fail", "port": 8081}
RESET = {"path": "/switch/liveness?to=ok", "port": 8081}


def fault(**changes: Any) -> PodRequest:
    return PodRequest.model_validate({"selector": "app=podinfo", "request": SET, "undo": RESET, **changes})


def injected(world: World, tested: PodRequest) -> Any:
    context = world.context()
    victims = tested.choose(context)
    tested.inject(context, victims)
    return context, victims


def undone(world: World, context: Any) -> str:
    (entry,) = context.journal.entries
    return PodRequest.undo(world.cluster, entry.parameters)


def test_request_reaches_the_port_as_declared(world: World) -> None:
    context, victims = injected(world, fault(request={**SET, "method": "PUT", "body": "on"}))
    (sent,) = world.requests
    assert (sent.pod, sent.port, sent.method, sent.path, sent.body) == (victims[0].name, 8081, "PUT", SET["path"], "on")
    assert undone(world, context) == f"pod {victims[0].name} answered POST :8081{RESET['path']}"
    assert [each.path for each in world.requests] == [SET["path"], RESET["path"]]


@pytest.mark.parametrize(("status", "expect"), [(503, None), (200, 204), (404, 503)])
def test_another_status_is_inconclusive(world: World, status: int, expect: int | None) -> None:
    world.status = status
    with pytest.raises(Inconclusive, match=f"answered POST :8081/switch.* with {status} 'answer', expected"):
        injected(world, fault(request={**SET, "expect": expect}))


@pytest.mark.parametrize(("status", "expect"), [(204, None), (503, 503)])
def test_expected_status_is_evidence(world: World, status: int, expect: int | None) -> None:
    world.status = status
    tested = fault(request={**SET, "expect": expect})
    context, victims = injected(world, tested)
    assert tested.evidence(context, victims).proven


def test_pod_without_an_answer_is_inconclusive(world: World) -> None:
    world.cluster.server.forward = _refusing
    with pytest.raises(Inconclusive, match=r"did not answer POST :8081/switch.*: connection refused"):
        injected(world, fault())


def _refusing(_namespace: str, _pod: str, _port: int) -> HttpPort:
    raise ConnectionRefusedError("connection refused")


def test_an_answer_that_is_not_http_is_inconclusive(world: World) -> None:
    class Other(HttpPort):
        def receive(self, timeout: float) -> bytes:
            del timeout
            return b"SSH-2.0\r\n"

    world.cluster.server.forward = lambda _namespace, pod, port: Other(pod, port)
    with pytest.raises(Inconclusive, match="found no HTTP answer"):
        injected(world, fault())


def test_undo_has_to_be_declared() -> None:
    with pytest.raises(ValidationError, match="undo"):
        PodRequest.model_validate({"selector": "app=podinfo", "request": SET})


@pytest.mark.parametrize("path", ["switch", "/a b", "/a\r\nHost: other", ""])
def test_path_cannot_contain_another_request(path: str) -> None:
    with pytest.raises(ValidationError):
        fault(request={"path": path, "port": 8081})


def test_without_an_undo_nothing_is_sent(world: World) -> None:
    context, victims = injected(world, fault(undo="none"))
    assert undone(world, context) == f"nothing to send to pod {victims[0].name}: container podinfo still runs"
    world.restart_container(victims[0].name)
    assert undone(world, context).endswith("container podinfo was restarted")
    assert len(world.requests) == 1


def test_existing_namespaces_need_an_undo(world: World) -> None:
    del world
    nothing: Any = None
    assert [place for place, _ in fault(undo="none").lasting(nothing)] == [("undo",)]
    assert list(fault().lasting(nothing)) == []


def test_undo_waits_for_a_pod_that_does_not_answer(world: World) -> None:
    context, _ = injected(world, fault())
    world.cluster.server.forward = _refusing
    with pytest.raises(NotYet, match="did not answer POST :8081/switch"):
        undone(world, context)


def test_restarted_container_needs_no_answer(world: World) -> None:
    context, victims = injected(world, fault())
    world.restart_container(victims[0].name)
    world.cluster.server.forward = _refusing
    assert "was restarted, and its switches were reset" in undone(world, context)


@pytest.mark.parametrize(("status", "error"), [(500, NotYet), (404, HarnessError)])
def test_refused_undo_is_reported(world: World, status: int, error: type[HarnessError]) -> None:
    context, _ = injected(world, fault())
    world.status = status
    with pytest.raises(error, match=f"with {status}"):
        undone(world, context)


def test_container_that_waits_was_not_restarted(world: World) -> None:
    """In CrashLoopBackOff the container has no id; the next one is not there yet."""
    context, victims = injected(world, fault(undo="none"))
    world.restart_container(victims[0].name, waiting="CrashLoopBackOff")
    assert undone(world, context).endswith("still runs")


@pytest.mark.parametrize("shows", ["notReady", "restarted"])
def test_effect_on_the_pod_is_awaited(world: World, shows: str) -> None:
    tested = fault(shows=shows)
    context, victims = injected(world, tested)
    assert not tested.evidence(context, victims).proven
    world.restart_container(victims[0].name)
    assert tested.evidence(context, victims).proven


def test_pod_that_is_not_ready_shows_the_effect(world: World) -> None:
    tested = fault(shows="notReady")
    context, victims = injected(world, tested)

    def unready(pod: dict[str, Any]) -> dict[str, Any]:
        status = {**pod["status"], "conditions": [{"type": "Ready", "status": "False"}]}
        return {**pod, "status": status}

    world.cluster.server.store.update(PODS, NAMESPACE, victims[0].name, unready, "status")
    assert tested.evidence(context, victims).text.endswith("as expected, and is not Ready")
