"""Outages whose truth is known without any of the tools that measure them.

``listener`` and ``pause``: the calibration target does not serve its users for a while, and tells itself from when to
when. Its readiness is probed as often as Kubernetes can (once a second), so that those who watch the API see it too;
and its Service publishes it even when it is not ready, so that users wait for the target and not for the cluster.
``readiness``: a pod without a kubelet is told to be unready, and ready again, by calls that bracket either instant.
``kill``: three pods are killed; the truth is when the last replacement's Ready reached a bare watch of the API, whose
events are stamped as they come, by a process that understands none of them, and read when all is over.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from benchmarks.peers.tools import Watched
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import PODS
from harness.cluster.local.cluster import LocalCluster
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.common.waiting import wait_until
from harness.engine.calibration import CalibrationTarget, OutageKind, ReadinessSwitch
from harness.engine.steps import deploy

PATIENCE = 60
REPLICAS = 3


@dataclass(frozen=True, slots=True)
class KnownOutage:
    """Its length in seconds. ``since``: the Unix time from which it counts, where that is known to whoever made it."""

    seconds: float
    since: float | None = None


class Scene(Protocol):
    """Something that can have outages again and again."""

    title: str
    watched: Watched

    def outage(self, number: int, seconds: float) -> KnownOutage:
        """Have one now, of about so long where that can be chosen; return when it is over."""

    def whole(self) -> None:
        """Wait until all is as it was."""


class TargetScene:
    """The calibration target, which stops serving."""

    title = "users: target down"

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self._clock, self._api = SystemClock(), cluster.api
        self.watched = Watched(namespace, "target", PATIENCE, "target:http")
        self._objects = _probed(CalibrationTarget.objects("target", cluster.image("calibration")))
        deploy.apply_workload(cluster.api, namespace, self._objects)
        self.whole()
        self._target = CalibrationTarget.connect(cluster, namespace, "target", self._clock)

    def outage(self, number: int, seconds: float) -> KnownOutage:
        kind: OutageKind = "pause" if number % 2 else "listener"
        return KnownOutage(self._target.outage(kind, seconds).seconds)

    def whole(self) -> None:
        deploy.wait_for_workload(self._api, self.watched.namespace, self._objects, self._clock)


class SwitchScene:
    """A pod whose readiness is withdrawn in the API, and nowhere else."""

    title = "API: readiness withdrawn"

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self._clock, self._api = SystemClock(), cluster.api
        self.watched = Watched(namespace, "switch", PATIENCE)
        image = cluster.image("calibration")
        (deployment, *_) = ReadinessSwitch.objects("switch", image)
        self._image, self._objects = image, [deployment]
        deploy.apply_workload(cluster.api, namespace, self._objects)
        self._pod = wait_until("the pod of switch", self._look, 30.0, self._clock)
        self._turn(ready=True)
        self.whole()

    def outage(self, number: int, seconds: float) -> KnownOutage:  # noqa: ARG002 - all are of one kind
        began = self._turn(ready=False)
        self._clock.sleep(seconds)
        return KnownOutage(self._turn(ready=True) - began)

    def whole(self) -> None:
        deploy.wait_for_workload(self._api, self.watched.namespace, self._objects, self._clock)

    def _look(self) -> tuple[str | None, str]:
        pods = self._api.list(PODS, self.watched.namespace, "app=switch").items
        return (str(pods[0]["metadata"]["name"]), "") if pods else (None, "there is none")

    def _turn(self, *, ready: bool) -> float:
        """The middle of the call. Both the pod's condition and its container's flag, as a kubelet writes them."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        container = {"name": "calibration", "image": self._image, "imageID": "none", "restartCount": 0, "ready": ready}
        conditions = [
            {"type": kind, "status": str(ready), "lastTransitionTime": now} for kind in ("ContainersReady", "Ready")
        ]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": [container]}
        low = self._clock.monotonic()
        self._api.patch(PODS, self._pod, {"status": status}, self.watched.namespace, subresource="status")
        return (low + self._clock.monotonic()) / 2


class KillScene:
    """A Deployment whose pods are all killed at once."""

    title = "API: 3 pods killed"

    def __init__(self, cluster: LocalCluster, namespace: str, kubectl: Path, folder: Path) -> None:
        self._clock, self._api, self._kubeconfig = SystemClock(), cluster.api, cluster.kubeconfig
        self._kubectl, self._folder = kubectl, folder
        self.watched = Watched(namespace, "victim", PATIENCE)
        self._objects = _probed(CalibrationTarget.objects("victim", cluster.image("calibration")))
        self._objects[0]["spec"]["replicas"] = REPLICAS
        deploy.apply_workload(cluster.api, namespace, self._objects)
        self.whole()

    def outage(self, number: int, seconds: float) -> KnownOutage:  # noqa: ARG002 - it takes as long as it takes
        file = self._folder / f"watch-{number}"
        path = f"/api/v1/namespaces/{self.watched.namespace}/pods?watch=1&labelSelector=app%3Dvictim"
        module = [sys.executable, "-m", "benchmarks.peers.raw_watch", str(self._kubectl), str(self._kubeconfig)]
        with subprocess.Popen([*module, path, str(file)], stdin=subprocess.PIPE) as watch:
            try:
                wait_until(
                    "the bare watch", lambda: ((file.exists() and file.stat().st_size) or None, ""), 30.0, self._clock
                )
                self._clock.sleep(1.0)
                pods = self._api.list(PODS, self.watched.namespace, "app=victim").items
                began = time.time()
                for pod in pods:
                    self._api.delete(PODS, pod["metadata"]["name"], self.watched.namespace, grace_seconds=0)
                since = (began + time.time()) / 2
                victims = {str(pod["metadata"]["uid"]) for pod in pods}

                def look() -> tuple[float | None, str]:
                    return replaced_at(file.read_bytes().splitlines(), victims), "not all are replaced"

                ended = wait_until("three replacements", look, PATIENCE, self._clock)
            finally:
                assert watch.stdin is not None
                watch.stdin.close()
        return KnownOutage(ended - since, since)

    def whole(self) -> None:
        deploy.wait_for_workload(self._api, self.watched.namespace, self._objects, self._clock)


def replaced_at(stamped: Iterable[bytes], victims: set[str]) -> float | None:
    """When as many others were Ready as there were victims, of lines ``<Unix time> <watch event>``."""
    ready: set[str] = set()
    for line in stamped:
        at, _, text = line.partition(b" ")
        try:
            event: dict[str, Any] = json.loads(text)
        except ValueError:
            # The last line may be half written.
            return None
        if event["type"] == "ERROR":
            raise HarnessError(f"the bare watch ended: {event['object']}")
        pod = event["object"]
        uid = str(pod["metadata"]["uid"])
        if uid not in victims:
            (ready.add if event["type"] != "DELETED" and _is_ready(pod) else ready.discard)(uid)
        if len(ready) >= len(victims):
            return float(at)
    return None


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _probed(objects: list[Object]) -> list[Object]:
    """With the quickest readiness probe that there is, and a Service that sends users there whatever it says."""
    deployment, service = deepcopy(objects)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["readinessProbe"] = {
        "httpGet": {"path": "/readyz", "port": "http"},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": 1,
    }
    service["spec"]["publishNotReadyAddresses"] = True
    return [deployment, service]
