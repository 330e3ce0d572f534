"""A namespace is emptied before it is deleted: the namespace controller waits for half the grace of pods it finds."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube import namespaces
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import DEPLOYMENTS, NAMESPACES, PODS
from harness.common.clock import FakeClock
from harness.common.errors import ApiError
from harness.common.timeouts import NAMESPACE_EMPTY
from tests.fake_run import controlled_cluster

SHOP = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"terminationGracePeriodSeconds": 10, "containers": [{"name": "shop", "image": "podinfo"}]},
        },
    },
}


class Deleted:
    """A namespace with a shop, and what was still in it when it was deleted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.api = controlled_cluster(self.clock).api
        self.pods: list[str] = []
        self.replicas = -1
        self.at = -1.0
        namespaces.make_namespace(self.api, "place", "run", "experiment")
        self.api.apply(SHOP, "place")
        assert len(self.api.list(PODS, "place").items) == 3
        ask = namespaces.request_deletion

        def asked(api: KubeApi, name: str) -> None:
            self.pods = [pod["metadata"]["name"] for pod in api.list(PODS, name).items]
            self.replicas = api.get(DEPLOYMENTS, "shop", name)["spec"]["replicas"]
            self.at = self.clock.monotonic()
            ask(api, name)

        monkeypatch.setattr(namespaces, "request_deletion", asked)


def test_no_pod_is_left_when_the_namespace_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = Deleted(monkeypatch)
    namespaces.remove_namespace(deleted.api, "place", deleted.clock)
    assert (deleted.pods, deleted.replicas) == ([], 0)
    assert deleted.api.find(NAMESPACES, "place") is None


def test_a_workload_that_may_not_be_scaled_only_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: Any, **_kwargs: Any) -> None:
        raise ApiError(403, "Forbidden", "no")

    deleted = Deleted(monkeypatch)
    monkeypatch.setattr(deleted.api, "patch", refused)
    began = deleted.clock.monotonic()
    namespaces.remove_namespace(deleted.api, "place", deleted.clock)
    # Its controller makes pods anew all the time.
    assert (len(deleted.pods), deleted.replicas) == (3, 3)
    assert deleted.at - began == pytest.approx(NAMESPACE_EMPTY, abs=0.5)
    assert deleted.api.find(NAMESPACES, "place") is None
