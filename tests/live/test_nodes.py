"""Nodes of the local cluster for real: each way to lose one is missed by the cluster and taken back, by any process.

Needs root on Linux. Uses clusters with names of their own and leaves every other one alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import NODES, PODS
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.cluster.local.residue import Machine
from harness.cluster.nodes.control import NodeControl
from harness.cluster.protocol import NODE_CONTROL
from harness.common.clock import SystemClock
from harness.common.waiting import wait_until

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
ROOT = Path(__file__).parents[2]
NAME = "selftest-nodes"
LEFT = "selftest-left"
NODE = f"{NAME}-worker-1"
POD = "server"
WAIT_SECONDS = 90.0
CLOCK = SystemClock()

Action = Callable[[NodeControl, str], None]

# How a node is lost, how it comes back, and its power and services meanwhile: power, cut off, kubelet, containerd.
WAYS: dict[str, tuple[Action, Action, tuple[str, bool, bool, bool]]] = {
    "stop": (
        lambda nodes, node: nodes.stop(node),
        lambda nodes, node: nodes.start(node),
        ("stopped", False, False, False),
    ),
    "kill": (
        lambda nodes, node: nodes.kill(node),
        lambda nodes, node: nodes.start(node),
        ("stopped", False, False, False),
    ),
    "pause": (
        lambda nodes, node: nodes.pause(node),
        lambda nodes, node: nodes.resume(node),
        ("paused", False, True, True),
    ),
    "cut-off": (
        lambda nodes, node: nodes.cut_off(node),
        lambda nodes, node: nodes.reconnect(node),
        ("running", True, True, True),
    ),
    "kubelet": (
        lambda nodes, node: nodes.stop_service(node, "kubelet"),
        lambda nodes, node: nodes.start_service(node, "kubelet"),
        ("running", False, False, True),
    ),
    "containerd": (
        lambda nodes, node: nodes.stop_service(node, "containerd"),
        lambda nodes, node: nodes.start_service(node, "containerd"),
        ("running", False, True, False),
    ),
}


def silent(_message: str) -> None:
    """Progress that nobody reads."""


def often_or_seldom(ways: Iterable[str]) -> list[Any]:
    """Each way takes about a minute: all are tried when somebody asks for the slow tests, and these always."""
    return [way if way in {"kill", "cut-off"} else pytest.param(way, marks=pytest.mark.slow) for way in ways]


@pytest.fixture(scope="module")
def only_run() -> Iterator[None]:
    """Two runs of this module at a time would take each other's clusters down: the second waits."""
    with locked(NAME, silent, "another run of these tests"):
        yield


@pytest.fixture(scope="module")
def local(only_run: None) -> Iterator[LocalCluster]:
    """A cluster of one worker with a server on it."""
    commands.down(NAME, silent)
    with closing(commands.up(NAME, 1, silent)) as made:
        made.api.apply(server(made.image("podinfo")), "default")
        wait_for("the server", lambda: is_true(made.api.get(PODS, POD, "default"), "Ready"))
        yield made
    commands.down(NAME, silent)


def server(image: str) -> Object:
    probe = {"httpGet": {"path": "/readyz", "port": 9898}, "periodSeconds": 1}
    container = {"name": "main", "image": image, "readinessProbe": probe}
    forever = [{"operator": "Exists", "effect": "NoExecute"}]
    spec = {"containers": [container], "tolerations": forever, "terminationGracePeriodSeconds": 2}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}


def is_true(item: Object, condition: str) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(entry["type"] == condition and entry["status"] == "True" for entry in conditions)


def wait_for(what: str, true: Callable[[], bool]) -> None:
    wait_until(what, lambda: (true() or None, "not yet"), WAIT_SECONDS, CLOCK)


def test_local_cluster_has_full_node_control(local: LocalCluster) -> None:
    assert local.capabilities() >= NODE_CONTROL


@pytest.mark.parametrize("way", often_or_seldom(WAYS))
def test_lost_node_becomes_not_ready_and_recovers_with_its_pods(local: LocalCluster, way: str) -> None:
    lose, bring_back, state = WAYS[way]
    nodes = local.nodes()
    for _ in range(2):
        lose(nodes, NODE)
        services = nodes.is_active(NODE, "kubelet"), nodes.is_active(NODE, "containerd")
        assert (nodes.power(NODE), nodes.is_cut_off(NODE), *services) == state
    assert not commands.status(NAME).healthy
    wait_for(f"{NODE} to be missed", lambda: not is_true(local.api.get(NODES, NODE), "Ready"))
    for _ in range(2):
        bring_back(nodes, NODE)
    assert commands.status(NAME).healthy
    wait_for(f"{NODE} to be Ready", lambda: is_true(local.api.get(NODES, NODE), "Ready"))
    wait_for("the server", lambda: is_true(local.api.get(PODS, POD, "default"), "Ready"))
    done = local.api.exec("default", POD, ["wget", "-qO-", "http://127.0.0.1:9898/readyz"])
    assert done.exit_code == 0, done.stderr


UNDO = """
import json, sys
from harness.experiment import registry
from harness.cluster.local.cluster import LocalCluster
kind, parameters = sys.argv[2], json.loads(sys.argv[3])
print(registry.undo_actions()[kind](LocalCluster.attach(sys.argv[1]), parameters))
"""


def test_another_process_undoes_it_from_the_journal(local: LocalCluster) -> None:
    """As after a crash of the one that broke it."""
    local.nodes().cut_off(NODE)
    local.nodes().pause(NODE)
    for kind, said in (("nodePause", "is running"), ("nodeCutOff", "is connected")):
        command = [sys.executable, "-c", UNDO, NAME, kind, f'{{"node": "{NODE}"}}']
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == f"node {NODE} {said}"
    wait_for(f"{NODE} to be Ready", lambda: is_true(local.api.get(NODES, NODE), "Ready"))


def test_up_repairs_a_stopped_frozen_or_cut_off_node(local: LocalCluster) -> None:
    uid = local.api.get(NODES, NODE)["metadata"]["uid"]
    for way in ("kill", "pause", "cut-off"):
        WAYS[way][0](local.nodes(), NODE)
        assert commands.status(NAME).summary == "broken"
        said: list[str] = []
        commands.up(NAME, 1, said.append).close()
        assert said[0].startswith(f"restarting in the local cluster {NAME}: worker-1 node ")
        assert commands.status(NAME).healthy
    assert local.api.get(NODES, NODE)["metadata"]["uid"] == uid, "it is still the same cluster"


@pytest.mark.parametrize("way", often_or_seldom(["kill", "pause", "cut-off", "containerd"]))
def test_cluster_with_a_broken_node_is_removed_without_leftovers(local: LocalCluster, way: str) -> None:
    """``local`` is here so that packages, programs and images are."""
    before = Machine.look(LEFT)
    try:
        with closing(commands.up(LEFT, 1, silent)) as left:
            left.api.apply(server(left.image("podinfo")), "default")
            wait_for("the server", lambda: is_true(left.api.get(PODS, POD, "default"), "Ready"))
            WAYS[way][0](left.nodes(), f"{LEFT}-worker-1")
    finally:
        commands.down(LEFT, silent)

    def look() -> tuple[bool | None, str]:
        found = Machine.look(LEFT).since(before)
        return (None if found else True), "; ".join(found[:10])

    # The kernel takes a namespace away a moment after its last process.
    wait_until(f"nothing of {LEFT} to be left", look, 60.0, CLOCK)
