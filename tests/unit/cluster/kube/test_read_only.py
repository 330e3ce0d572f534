"""Looking ahead changes nothing: what would is refused before it leaves the process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import ACCESS_REVIEWS, CONFIG_MAPS, DEPLOYMENTS, PODS
from harness.common.errors import ClusterRefused
from tests.fake_world import NAMESPACE, deployment

BODY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
WRITES: dict[str, Callable[[KubeApi], object]] = {
    "create": lambda api: api.create(CONFIG_MAPS, BODY, NAMESPACE),
    "replace": lambda api: api.replace(CONFIG_MAPS, BODY, NAMESPACE),
    "patch": lambda api: api.patch(DEPLOYMENTS, "podinfo", {"spec": {"replicas": 0}}, NAMESPACE),
    "apply": lambda api: api.apply(BODY, NAMESPACE),
    "delete": lambda api: api.delete(DEPLOYMENTS, "podinfo", NAMESPACE),
    "evict": lambda api: api.evict("a", NAMESPACE),
    "exec": lambda api: api.exec(NAMESPACE, "a", ["true"]),
}


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.server.seed(deployment(), namespace=NAMESPACE)
    cluster.api.read_only()
    return cluster


@pytest.mark.parametrize("clone", [False, True], ids=["itself", "clone"])
@pytest.mark.parametrize("write", list(WRITES))
def test_every_mutating_request_is_blocked(cluster: FakeCluster, write: str, clone: bool) -> None:
    api = cluster.api.clone() if clone else cluster.api
    before = cluster.server.store.version
    with pytest.raises(ClusterRefused, match="a dry run"):
        WRITES[write](api)
    assert [call for call in cluster.server.calls if call.writes] == []
    assert cluster.server.store.version == before


def test_reads_and_questions_about_rights_get_through(cluster: FakeCluster) -> None:
    api = cluster.api
    assert api.get(DEPLOYMENTS, "podinfo", NAMESPACE)
    assert api.list(PODS, NAMESPACE).items == []
    review = {"spec": {"resourceAttributes": {"verb": "get", "group": "", "resource": "pods"}}}
    assert api.create(ACCESS_REVIEWS, review)["status"]["allowed"]


def test_watches_get_through(cluster: FakeCluster) -> None:
    listed = cluster.api.list(DEPLOYMENTS, NAMESPACE)
    cluster.server.seed(deployment("other"), namespace=NAMESPACE)
    event = next(cluster.api.watch(DEPLOYMENTS, NAMESPACE, listed.resource_version))
    assert event.object["metadata"]["name"] == "other"
