"""One client of the API server in a process of its own, so that its memory and CPU are nobody else's.

``python -m benchmarks.watcher CLIENT KUBECONFIG NAMESPACE TASK …``: CLIENT is ``harness`` or ``official``; TASK is
``follow`` (list, then watch until standard input closes), ``replay URL COUNT`` (digest so many events of a
``benchmarks.replay_server``) or ``choose`` (one pod of all). Answers are lines of JSON; times are CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from kubernetes import client, config, watch

from benchmarks.fake_pods import LABELS
from harness.cluster.connection.connection import Connection
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.reflector import Mirror
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import HttpTransport
from harness.common.clock import SystemClock
from harness.faults.targets import PodTarget
from harness.model.timeline import Observation, Timeline
from harness.probes.observers import Observers
from harness.probes.pods import PodProbe

SELECTOR = ",".join(f"{key}={value}" for key, value in LABELS.items())
READY_SECONDS = 120.0


class Client(Protocol):
    """What is compared."""

    def follow(self, synced: Callable[[int], None]) -> dict[str, float]:
        """List, call ``synced`` with the number of pods, watch until input closes: when each pod's end was seen."""

    def replay(self, url: str, count: int) -> int:
        """Digest so many events of a server; how many there were."""

    def choose(self) -> str:
        """One pod's name, of all that are running."""


class Harness:
    """The observers, the reflector and the target of a fault."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._api = KubeApi.connect(kubeconfig, None)
        self._namespace = namespace
        self._clock = SystemClock()
        self._timeline = Timeline(self._clock.monotonic(), self._clock.wall())

    def follow(self, synced: Callable[[int], None]) -> dict[str, float]:
        cluster: Any = SimpleNamespace(api=self._api)
        with Observers(cluster, self._namespace, self._timeline, self._clock, [PodProbe()]) as observers:
            observers.wait_ready(READY_SECONDS)
            synced(len(self._timeline.observations("pods")))
            sys.stdin.read()
            if reason := observers.alive():
                raise SystemExit(reason)
        seen = self._timeline.observations("pods")
        if broken := [one.error for one in seen if one.error]:
            raise SystemExit(str(broken))
        return {one.subject: one.at + self._timeline.origin for one in seen if one.value["event"] == "DELETED"}

    def replay(self, url: str, count: int) -> int:
        mirror, probe, seen = Mirror(), PodProbe(), 0
        for event in KubeApi(HttpTransport(Connection(url))).watch(PODS, self._namespace, "1"):
            change = mirror.apply(event)
            for sighting in probe.see(change.event, change.object) if change else ():
                at = self._timeline.offset(self._clock.monotonic())
                self._timeline.add(Observation(probe.series, sighting.subject, at, sighting.value, wall=sighting.wall))
            seen += change is not None
            if seen == count:
                break
        return seen

    def choose(self) -> str:
        (pod,) = PodTarget.model_validate({"selector": SELECTOR}).choose_pods(
            self._api, self._namespace, random.Random(1)
        )
        return str(pod["metadata"]["name"])


class Official:
    """kubernetes-client/python, used as its own examples use it."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config.load_kube_config(str(kubeconfig))
        self._core: Any = client.CoreV1Api()
        self._watch: Any = watch.Watch()
        self._namespace = namespace

    def follow(self, synced: Callable[[int], None]) -> dict[str, float]:
        listing = self._core.list_namespaced_pod(self._namespace)
        pods = {pod.metadata.uid: pod for pod in listing.items}
        ended: dict[str, float] = {}

        def read(version: str) -> None:
            for event in self._watch.stream(
                self._core.list_namespaced_pod, self._namespace, resource_version=version, timeout_seconds=600
            ):
                at = time.monotonic()
                pods[event["object"].metadata.uid] = event["object"]
                if event["type"] == "DELETED":
                    ended[event["object"].metadata.name] = at

        threading.Thread(target=read, args=(listing.metadata.resource_version,), daemon=True).start()
        synced(len(pods))
        sys.stdin.read()
        return dict(ended)

    def replay(self, url: str, count: int) -> int:
        configuration = client.Configuration()
        configuration.host = url
        core: Any = client.CoreV1Api(client.ApiClient(configuration))
        seen, pods = 0, {}
        for event in self._watch.stream(core.list_namespaced_pod, self._namespace, resource_version="1"):
            pods[event["object"].metadata.uid] = event["object"]
            seen += 1
            if seen == count:
                self._watch.stop()
        return seen

    def choose(self) -> str:
        pods = self._core.list_namespaced_pod(self._namespace, label_selector=SELECTOR).items
        running = [pod for pod in pods if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]
        return str(random.Random(1).choice(sorted(pod.metadata.name for pod in running)))


def progress(**facts: object) -> None:
    """One line to whoever started this."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    common = {"at": time.monotonic(), "peak_mb": _peak_mb(), "cpu_s": used.ru_utime + used.ru_stime}
    print(json.dumps({**common, **facts}), flush=True)


def _peak_mb() -> float:
    # Not ru_maxrss: that begins with the memory of whoever started this process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main(client_name: str, kubeconfig: str, namespace: str, task: str, *arguments: str) -> None:
    """Do one task; see the top of this file."""
    kind = Harness if client_name == "harness" else Official
    chosen: Client = kind(Path(kubeconfig), namespace)
    progress()
    if task == "follow":
        progress(ended=chosen.follow(lambda pods: progress(pods=pods)))
    elif task == "replay":
        url, count = arguments
        progress(events=chosen.replay(url, int(count)))
    else:
        progress(chosen=chosen.choose())


if __name__ == "__main__":
    main(*sys.argv[1:])
