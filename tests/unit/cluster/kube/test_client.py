"""The calls of the API client: what they send, what they repeat, what they make of the answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from harness.cluster.connection.connection import Connection
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import FIELD_MANAGER, KubeApi
from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, NODES, PODS, Resource
from harness.cluster.kube.transport import ExecResult, HttpTransport, Request
from harness.common.clock import FakeClock
from harness.common.errors import ApiError, ClusterUnreachable
from tests.fake_world import NAMESPACE, World, bare_pod
from tests.unit.cluster.http_server import serving


@pytest.fixture
def api(fake_cluster: FakeCluster) -> KubeApi:
    fake_cluster.server.seed(bare_pod("web-0", {"app": "web"}), bare_pod("db-0", {"app": "db"}), namespace=NAMESPACE)
    return fake_cluster.api


def _config(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


class Slow:
    """Answers nothing, each time after all of the time-out."""

    server = "https://slow.invalid"

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.timeouts = clock, list[float]()

    def send(self, request: Request) -> bytes:
        self.timeouts.append(request.timeout)
        self.clock.sleep(request.timeout / 2)
        raise ApiError(0, "ConnectionFailed", "timed out")

    def exec(self, *_arguments: object) -> ExecResult:
        pytest.fail("there was no time for it")


def test_time_limited_calls_share_one_deadline_and_do_not_retry(fake_clock: FakeClock) -> None:
    slow = Slow(fake_clock)
    api = KubeApi(slow, fake_clock)  # type: ignore[arg-type]
    before = fake_clock.monotonic()
    with api.patience.limited_to(0.8):
        for _ in range(3):
            with pytest.raises(ApiError, match="timed out"):
                api.get(PODS, "web-0", NAMESPACE)
        assert slow.timeouts == pytest.approx([0.8, 0.4, 0.2])
        fake_clock.sleep(0.2)
        with pytest.raises(ApiError, match="no time was left"):
            api.exec(NAMESPACE, "web-0", ["true"])
    assert fake_clock.monotonic() - before < 1.0
    with pytest.raises(ApiError, match="timed out"):
        api.get(PODS, "web-0", NAMESPACE)
    assert slow.timeouts[3:] == [10.0] * 4


@pytest.mark.parametrize(
    ("resource", "inside", "path"),
    [
        (PODS, "shop", "/api/v1/namespaces/shop/pods"),
        (PODS, None, "/api/v1/pods"),
        (NODES, None, "/api/v1/nodes"),
        (NODES, "shop", "/api/v1/nodes"),
        (DEPLOYMENTS, "shop", "/apis/apps/v1/namespaces/shop/deployments"),
    ],
)
def test_paths_follow_the_resource(resource: Resource, inside: str | None, path: str) -> None:
    assert resource.path(inside) == path
    assert resource.path(inside, "x", "status") == f"{path}/x/status"


def test_the_version_is_the_server_s(api: KubeApi) -> None:
    assert api.version() == "v1.36.3"


def test_a_server_that_does_not_answer_is_unreachable(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(0, count=99)
    with pytest.raises(ClusterUnreachable, match=r"https://fake\.invalid does not answer"):
        api.version()


def test_get_raises_and_find_returns_nothing_when_there_is_none(api: KubeApi) -> None:
    with pytest.raises(ApiError, match='pods "web-9" not found'):
        api.get(PODS, "web-9", NAMESPACE)
    assert api.find(PODS, "web-9", NAMESPACE) is None


def test_find_passes_other_errors_on(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(403, "Forbidden")
    with pytest.raises(ApiError, match="Forbidden"):
        api.find(PODS, "web-0", NAMESPACE)


def test_listed_objects_name_their_kind_as_single_ones_do(api: KubeApi) -> None:
    listed = api.list(PODS, NAMESPACE, "app=web").items
    assert listed == [api.get(PODS, "web-0", NAMESPACE)]
    assert (listed[0]["kind"], listed[0]["apiVersion"]) == ("Pod", "v1")


def test_a_watch_continues_from_its_list(api: KubeApi, fake_cluster: FakeCluster) -> None:
    version = api.list(PODS, NAMESPACE).resource_version
    fake_cluster.server.seed(bare_pod("web-1"), namespace=NAMESPACE)
    event = next(iter(api.watch(PODS, NAMESPACE, version)))
    assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "web-1")


def test_expired_watch_is_an_error_that_requires_a_new_list(api: KubeApi, fake_cluster: FakeCluster) -> None:
    version = api.list(PODS, NAMESPACE).resource_version
    fake_cluster.server.store.compact()
    with pytest.raises(ApiError, match="410 Expired") as caught:
        next(iter(api.watch(PODS, NAMESPACE, version)))
    assert caught.value.gone


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_reads_and_idempotent_writes_are_repeated(api: KubeApi, fake_cluster: FakeCluster, status: int) -> None:
    for call in (
        lambda: api.get(PODS, "web-0", NAMESPACE),
        lambda: api.list(PODS, NAMESPACE),
        lambda: api.apply(_config(), NAMESPACE),
        lambda: api.patch(CONFIG_MAPS, "settings", {"data": {"a": "1"}}, NAMESPACE),
        lambda: api.delete(CONFIG_MAPS, "settings", NAMESPACE),
    ):
        fake_cluster.server.fail_next(status, count=2)
        call()


def test_create_is_not_retried(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(500, method="POST")
    with pytest.raises(ApiError):
        api.create(CONFIG_MAPS, _config(), NAMESPACE)
    assert [call.method for call in fake_cluster.server.calls] == ["POST"]


def test_evicting_is_not_repeated_since_a_refusal_is_an_answer(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(429, "TooManyRequests", method="POST")
    with pytest.raises(ApiError):
        api.evict("web-0", NAMESPACE)
    assert len(fake_cluster.server.calls) == 1


def test_final_errors_are_not_repeated(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(403, "Forbidden", count=5)
    with pytest.raises(ApiError):
        api.get(PODS, "web-0", NAMESPACE)
    assert len(fake_cluster.server.calls) == 1


def test_repeating_ends(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(503, count=99)
    with pytest.raises(ApiError, match="503"):
        api.get(PODS, "web-0", NAMESPACE)
    assert len(fake_cluster.server.calls) == 4


def test_apply_creates_then_merges_under_one_field_manager(api: KubeApi, fake_cluster: FakeCluster) -> None:
    api.apply(_config(a="1", b="2"), NAMESPACE)
    api.apply(_config(b="3"), NAMESPACE)
    assert api.get(CONFIG_MAPS, "settings", NAMESPACE)["data"] == {"a": "1", "b": "3"}
    applied = [call for call in fake_cluster.server.calls if call.method == "PATCH"]
    assert all(call.query == {"fieldManager": FIELD_MANAGER, "force": "true"} for call in applied)


def test_apply_finds_out_where_a_kind_lives_once(api: KubeApi, fake_cluster: FakeCluster) -> None:
    for name in ("a", "b"):
        api.apply(_config(name), NAMESPACE)
    assert [call.path for call in fake_cluster.server.calls].count("/api/v1") == 1


def test_the_namespace_of_an_object_wins(api: KubeApi) -> None:
    api.create(NAMESPACES, {"metadata": {"name": "other"}})
    item = _config()
    item["metadata"]["namespace"] = "other"
    api.apply(item, NAMESPACE)
    assert api.find(CONFIG_MAPS, "settings", "other")
    assert not api.find(CONFIG_MAPS, "settings", NAMESPACE)


@pytest.mark.parametrize("version", ["v1", "example.com/v1"])
def test_a_kind_that_the_cluster_does_not_have_is_not_found(api: KubeApi, version: str) -> None:
    with pytest.raises(ApiError) as caught:
        api.apply({"apiVersion": version, "kind": "Gadget", "metadata": {"name": "x"}}, NAMESPACE)
    assert caught.value.not_found


def test_replacing_a_changed_object_is_a_conflict(api: KubeApi) -> None:
    old = api.create(CONFIG_MAPS, _config(a="1"), NAMESPACE)
    api.patch(CONFIG_MAPS, "settings", {"data": {"a": "2"}}, NAMESPACE)
    with pytest.raises(ApiError, match="409 Conflict"):
        api.replace(CONFIG_MAPS, old, NAMESPACE)


def test_only_the_object_with_the_uid_is_deleted(api: KubeApi) -> None:
    with pytest.raises(ApiError, match="409 Conflict"):
        api.delete(PODS, "web-0", NAMESPACE, uid="another")
    assert api.find(PODS, "web-0", NAMESPACE)
    api.delete(PODS, "web-0", NAMESPACE, uid=api.get(PODS, "web-0", NAMESPACE)["metadata"]["uid"], grace_seconds=0)
    assert api.find(PODS, "web-0", NAMESPACE) is None


def test_a_dry_run_of_an_eviction_changes_nothing(api: KubeApi) -> None:
    before = api.get(PODS, "web-0", NAMESPACE)
    api.evict("web-0", NAMESPACE, dry_run=True)
    assert api.get(PODS, "web-0", NAMESPACE) == before


def test_command_runs_in_the_requested_container(api: KubeApi, fake_cluster: FakeCluster) -> None:
    seen: list[Any] = []

    def answer(*call: Any) -> ExecResult:
        seen.append(call)
        return ExecResult("out", "err", 3)

    fake_cluster.server.exec = answer
    assert api.exec(NAMESPACE, "web-0", ("sh", "-c", "x"), "main") == ExecResult("out", "err", 3)
    assert seen == [(NAMESPACE, "web-0", "main", ["sh", "-c", "x"])]


def test_logs_and_proxied_pages_are_read(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.pages[f"/api/v1/namespaces/{NAMESPACE}/pods/web-0/log"] = lambda query: (
        f"{query['container']} {query['previous']} {query['tailLines']}".encode()
    )
    fake_cluster.server.pages["/api/v1/namespaces/m/services/prometheus:9090/proxy/api/v1/query"] = lambda query: query[
        "query"
    ].encode()
    assert api.logs(NAMESPACE, "web-0", "main", previous=True, tail=7) == "main true 7"
    assert api.service_proxy("m", "prometheus", 9090, "/api/v1/query", {"query": "up"}) == b"up"


def test_namespaces_are_found(api: KubeApi) -> None:
    assert api.namespace_exists(NAMESPACE)
    assert not api.namespace_exists("nowhere")


def test_interrupt_ends_the_watches_of_this_client_only(api: KubeApi, fake_cluster: FakeCluster) -> None:
    other = api.clone()
    version = api.list(PODS, NAMESPACE).resource_version
    ended = threading.Event()

    def follow() -> None:
        list(other.watch(PODS, NAMESPACE, version))
        ended.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    other.interrupt()
    assert ended.wait(30)
    fake_cluster.server.seed(bare_pod("web-1"), namespace=NAMESPACE)
    assert next(iter(api.watch(PODS, NAMESPACE, version))).type == "ADDED"


class _Garbage:
    """A transport that answers, but not as an API server would."""

    server = "https://fake.invalid"

    def __init__(self, body: bytes) -> None:
        self._body = body

    def send(self, request: Request) -> bytes:
        return self._body

    def stream(self, request: Request) -> Iterator[bytes]:
        yield self._body


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"cut": '])
def test_an_answer_that_is_no_object_is_an_api_error(body: bytes) -> None:
    with pytest.raises(ApiError, match="BadAnswer"):
        KubeApi(_Garbage(body)).get(PODS, "web-0", NAMESPACE)


def test_the_world_of_the_tests_is_ready(world: World) -> None:
    status = world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["status"]
    assert (status["readyReplicas"], status["updatedReplicas"], status["observedGeneration"]) == (3, 3, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"<html>log in first</html>", "expected JSON"), (b"[]", "expected an object"), (b"{}", "found no gitVersion")],
)
def test_server_that_is_no_api_server_is_unreachable(body: bytes, message: str) -> None:
    with serving() as script:
        script.handler = lambda exchange: exchange.answer(200, body)
        with pytest.raises(ClusterUnreachable, match=f"{script.url}.*{message}"):
            KubeApi(HttpTransport(Connection(script.url)), FakeClock()).version()
