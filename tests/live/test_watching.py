"""The observers against a real API server that is killed and comes back: no event lost or doubled outside of a gap."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from harness.cluster.kube.resources import CONFIG_MAPS, NAMESPACES
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.control_plane import API_SERVER
from harness.cluster.local.inventory import programs_of
from harness.cluster.local.locks import locked
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import CONTROL_PLANE
from harness.common.clock import SystemClock
from harness.common.errors import ApiError
from harness.common.waiting import wait_until
from harness.model.timeline import Timeline
from harness.probes.base import Sighting, WatchProbe
from harness.probes.observers import Observers

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = "selftest-watch"
NAMESPACE = "watched"
WAIT_SECONDS = 60.0
CLOCK = SystemClock()


def silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with locked(NAME, silent, "another run of these tests"):
        commands.down(NAME, silent)
        made = commands.up(NAME, 1, silent)
        made.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield made
        made.close()
        commands.down(NAME, silent)


class Steps(WatchProbe):
    """What each ConfigMap says."""

    series = "steps"
    resource = CONFIG_MAPS
    selector = "watched=true"

    def see(self, event: str, item: dict[str, Any]) -> Iterable[Sighting]:
        yield Sighting(item["metadata"]["name"], {"event": event, "step": item["data"]["step"]})


def write(cluster: LocalCluster, name: str, step: int) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"watched": "true"}},
        "data": {"step": str(step)},
    }
    cluster.api.apply(body, NAMESPACE)


def changes(timeline: Timeline) -> list[tuple[str, str, str]]:
    """(name, event, step) of everything seen, gaps apart."""
    return [(one.subject, *one.value.values()) for one in timeline if one.error is None]


def gaps(timeline: Timeline) -> list[str]:
    return [one.value["gap"] for one in timeline if one.error is not None]


def has_heard(timeline: Timeline, name: str, step: str) -> bool:
    """Whether a step was seen and no gap is open."""
    return gaps(timeline)[-1] == "ended" and step in [said for subject, _, said in changes(timeline) if subject == name]


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_api_server_restart_loses_no_event_outside_the_gap(cluster: LocalCluster, way: signal.Signals) -> None:
    kept, dying, born = (f"{word}-{way.name.lower()}" for word in ("kept", "dying", "born"))
    programs = programs_of(NAME, ClusterPaths.of(NAME))
    timeline = Timeline(CLOCK.monotonic(), CLOCK.wall())
    write(cluster, dying, 0)
    with Observers(cluster, NAMESPACE, timeline, CLOCK, [Steps()], gap_limit=WAIT_SECONDS) as observers:
        observers.wait_ready(10)
        for step in range(20):
            write(cluster, kept, step)
        process = programs.pid(CONTROL_PLANE, API_SERVER)
        assert process is not None
        os.kill(process, way)
        wait_until("a gap", lambda: ("began" in gaps(timeline) or None, str(gaps(timeline))), WAIT_SECONDS, CLOCK)
        # Asked to end, it lets go of its watches long before it ends.
        wait_until(
            "its end", lambda: (programs.pid(CONTROL_PLANE, API_SERVER) is None or None, ""), WAIT_SECONDS, CLOCK
        )
        commands.up(NAME, 1, silent).close()
        write(cluster, kept, 20)
        cluster.api.delete(CONFIG_MAPS, dying, NAMESPACE)
        # A server that ends may let go more than once, so the first end of a gap need not be that of the last one:
        # what only the new server could tell is.
        wait_until("the gap's end", lambda: (has_heard(timeline, kept, "20") or None, "open"), WAIT_SECONDS, CLOCK)
        for step in range(21, 41):
            write(cluster, kept, step)
        write(cluster, born, 0)
        last = (born, "ADDED", "0")
        wait_until("the last event", lambda: (last in changes(timeline) or None, ""), WAIT_SECONDS, CLOCK)
        assert observers.alive() is None

    seen = changes(timeline)
    assert [step for name, _, step in seen if name == kept] == [str(step) for step in range(41)]
    assert [event for name, event, _ in seen if name == kept] == ["ADDED", *["MODIFIED"] * 40]
    assert [event for name, event, _ in seen if name == dying] == ["SYNC", "DELETED"]
    assert [event for name, event, _ in seen if name == born] == ["ADDED"]
    assert gaps(timeline) == ["began", "ended"] * (len(gaps(timeline)) // 2)


def test_compacted_history_is_reported(cluster: LocalCluster) -> None:
    """What the reflector takes as the order to list again, in the words of a real server."""
    assert cluster.api.namespace_exists(NAMESPACE)
    with pytest.raises(ApiError) as caught:
        next(iter(cluster.api.watch(NAMESPACES, None, "1")))
    assert caught.value.gone
