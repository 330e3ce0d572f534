"""Diagnostics keep what can be read, say what cannot, never ask for secrets, and stay bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.fake.cluster import FakeCluster
from harness.engine.steps.diagnostics import INDEX, LOG_LINES, MOST_CONTAINERS, collect


def item(kind: str, name: str, version: str = "v1", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", **rest.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def pod(name: str, restarts: int = 0, init: bool = False) -> dict[str, Any]:
    status: dict[str, Any] = {"containerStatuses": [{"name": "main", "restartCount": restarts}]}
    if init:
        status["initContainerStatuses"] = [{"name": "setup", "restartCount": 0}]
    return item("Pod", name, spec={"containers": [{"name": "main"}]}, status=status)


@pytest.fixture
def shop() -> FakeCluster:
    """A namespace with a pod that has restarted and one that has not; every log says whose it is."""
    cluster = FakeCluster()
    cluster.server.seed(
        pod("web-1", restarts=2), pod("web-2", init=True), item("Secret", "password", data={"x": "aHVudGVyMg=="})
    )
    for name in ("web-1", "web-2"):
        cluster.server.pages[f"/api/v1/namespaces/shop/pods/{name}/log"] = lambda query, name=name: (
            f"{name} {query['container']} previous={query['previous']} tail={query['tailLines']}\n".encode()
        )
    return cluster


def names(files: list[Path], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files]


def test_logs_are_kept_from_before_and_after_a_restart(shop: FakeCluster, tmp_path: Path) -> None:
    files = collect(shop.api, "shop", tmp_path)
    logs = [name for name in names(files, tmp_path) if name.startswith("logs/")]
    assert logs == [
        "logs/web-1.main.log",
        "logs/web-1.main.previous.log",
        "logs/web-2.setup.log",
        "logs/web-2.main.log",
    ]
    text = (tmp_path / "logs/web-1.main.previous.log").read_text()
    assert text == f"web-1 main previous=true tail={LOG_LINES}\n"


def test_events_are_one_per_line_in_time_order(shop: FakeCluster, tmp_path: Path) -> None:
    def event(name: str, **rest: Any) -> dict[str, Any]:
        return item("Event", name, involvedObject={"kind": "Pod", "name": "web-1"}, type="Warning", **rest)

    shop.server.seed(
        event("late", reason="BackOff", message="back-off\nrestarting", lastTimestamp="2026-11-23T07:24:09Z", count=4),
        event("early", reason="Killing", message="stopping", eventTime="2026-11-23T07:24:01Z"),
    )
    collect(shop.api, "shop", tmp_path)
    assert (tmp_path / "events.txt").read_text().splitlines() == [
        "2026-11-23T07:24:01Z  Warning  Killing  Pod/web-1  stopping",
        "2026-11-23T07:24:09Z  Warning  BackOff  Pod/web-1  back-off restarting (×4)",
    ]


def test_objects_are_kept_as_manifests_without_noise(shop: FakeCluster, tmp_path: Path) -> None:
    last = "kubectl.kubernetes.io/last-applied-configuration"
    meta = {"managedFields": [{"manager": "kubectl"}], "annotations": {last: "{}", "team": "shop"}}
    shop.server.seed(item("Deployment", "web", "apps/v1", metadata=meta, spec={"replicas": 2}))
    collect(shop.api, "shop", tmp_path)
    (kept,) = yaml.safe_load_all((tmp_path / "deployments.yaml").read_text())
    assert (kept["apiVersion"], kept["kind"], kept["spec"]) == ("apps/v1", "Deployment", {"replicas": 2})
    assert kept["metadata"]["annotations"] == {"team": "shop"}
    assert "managedFields" not in kept["metadata"]


def test_nodes_show_their_conditions_and_taints(shop: FakeCluster, tmp_path: Path) -> None:
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": "T", "reason": "Gone", "message": "silent"}
    spec = {"unschedulable": True, "taints": [{"key": "out", "effect": "NoExecute"}]}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1"},
        "spec": spec,
        "status": {"conditions": [condition]},
    }
    shop.server.seed(node)
    collect(shop.api, "shop", tmp_path)
    assert (tmp_path / "nodes.txt").read_text().splitlines() == [
        "n1 (cordoned)",
        "  taint out=:NoExecute",
        "  Ready: False since T  Gone: silent",
    ]


def test_secrets_are_never_requested(shop: FakeCluster, tmp_path: Path) -> None:
    files = collect(shop.api, "shop", tmp_path)
    assert not [call for call in shop.server.calls if "secrets" in call.path]
    assert not [path for path in files if "aHVudGVyMg" in path.read_text()]


def test_unreadable_kinds_are_indexed_and_stop_nothing(shop: FakeCluster, tmp_path: Path) -> None:
    shop.server.fail_next(403, "Forbidden", "no nodes for you", path="/nodes")
    shop.server.fail_next(400, "BadRequest", "waiting to start", path="web-1/log")
    files = collect(shop.api, "shop", tmp_path)
    index = (tmp_path / INDEX).read_text()
    assert files[-1] == tmp_path / INDEX
    unread = {line.partition(":")[0]: line for line in index.splitlines() if "could not read" in line}
    assert sorted(unread) == ["logs/web-1.main.log", "nodes.txt"]
    assert "no nodes for you" in unread["nodes.txt"]
    assert "waiting to start" in unread["logs/web-1.main.log"]
    assert "logs/web-2.main.log" in names(files, tmp_path)
    assert not (tmp_path / "nodes.txt").exists()


def test_kind_without_objects_makes_no_file(shop: FakeCluster, tmp_path: Path) -> None:
    collect(shop.api, "shop", tmp_path)
    assert not (tmp_path / "daemonsets.yaml").exists()
    assert "daemonsets.yaml: DaemonSet: empty" in (tmp_path / INDEX).read_text()


def test_silent_server_is_not_retried_for_every_kind(shop: FakeCluster, tmp_path: Path) -> None:
    shop.server.fail_next(0, count=1000)
    files = collect(shop.api, "shop", tmp_path)
    assert files == [tmp_path / INDEX]
    assert {call.path for call in shop.server.calls} == {"/api/v1/namespaces/shop/events"}


def test_restarted_containers_are_kept_among_very_many(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.server.seed(*(pod(f"calm-{n:03d}") for n in range(MOST_CONTAINERS)), pod("troubled", restarts=1))
    cluster.server.pages["/api/v1/namespaces/shop/pods/"] = lambda query: b"text\n" if "tailLines" in query else b"{}"
    files = collect(cluster.api, "shop", tmp_path)
    logs = [name for name in names(files, tmp_path) if name.startswith("logs/")]
    assert len(logs) == MOST_CONTAINERS + 1
    assert "logs/troubled.main.previous.log" in logs
    assert "logs: 1 more containers omitted" in (tmp_path / INDEX).read_text()
