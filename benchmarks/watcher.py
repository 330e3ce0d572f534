"""One client of the API server in a process of its own, so that its memory and CPU are nobody else's.

``python -m benchmarks.watcher CLIENT KUBECONFIG NAMESPACE TASK …``: CLIENT is ``harness`` or
``official``; TASK is ``follow`` (list, then watch until standard input closes), ``replay`` (the events of the past,
between two resourceVersions) or ``choose`` (one pod of all). Answers are lines of JSON; times are CLOCK_MONOTONIC.
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

from benchmarks.fake_pods import LABELS
from harness.clock import SystemClock
from harness.cluster.api import KubeApi
from harness.cluster.resources import PODS
from harness.observation import Observation, Timeline
from harness.observers import Observers
from harness.probes.pods import PodProbe
from harness.reflector import Mirror
from harness.target import PodTarget

SELECTOR = ",".join(f"{key}={value}" for key, value in LABELS.items())
READY_SECONDS = 120.0


class Client(Protocol):
    """What is compared."""

    def follow(self, synced: Callable[[int], None]) -> dict[str, float]:
        """List, call ``synced`` with the number of pods, watch until input closes: when each pod's end was seen."""

    def replay(self, resource_version: str, last: int) -> int:
        """Digest every event from a resourceVersion to another; how many there were."""

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

    def replay(self, resource_version: str, last: int) -> int:
        mirror, probe, count = Mirror(), PodProbe(), 0
        mirror.resource_version = resource_version
        while int(mirror.resource_version) < last:
            for event in self._api.watch(PODS, self._namespace, mirror.resource_version):
                change = mirror.told(event)
                for seen in probe.see(change.event, change.object) if change else ():
                    self._timeline.add(Observation(probe.series, seen.subject, 0.0, seen.value, wall=seen.wall))
                count += change is not None
                if int(mirror.resource_version) >= last:
                    break
        return count

    def choose(self) -> str:
        (pod,) = PodTarget.model_validate({"selector": SELECTOR}).choose_pods(
            self._api, self._namespace, random.Random(1)
        )
        return str(pod["metadata"]["name"])


class Official:
    """kubernetes-client/python, used as its own examples use it."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        from kubernetes import client, config, watch  # noqa: PLC0415 - its import is part of what it costs

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

    def replay(self, resource_version: str, last: int) -> int:
        count = 0
        pods = {}
        for event in self._watch.stream(
            self._core.list_namespaced_pod, self._namespace, resource_version=resource_version, timeout_seconds=60
        ):
            pods[event["object"].metadata.uid] = event["object"]
            count += 1
            if int(event["object"].metadata.resource_version) >= last:
                self._watch.stop()
        return count

    def choose(self) -> str:
        pods = self._core.list_namespaced_pod(self._namespace, label_selector=SELECTOR).items
        running = [pod for pod in pods if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]
        return str(random.Random(1).choice(sorted(pod.metadata.name for pod in running)))


def say(**facts: object) -> None:
    """One line to whoever started this."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    common = {"at": time.monotonic(), "peak_mb": used.ru_maxrss / 1024, "cpu_s": used.ru_utime + used.ru_stime}
    print(json.dumps({**common, **facts}), flush=True)


def main(client_name: str, kubeconfig: str, namespace: str, task: str, *arguments: str) -> None:
    """Do one task; see the top of this file."""
    kind = Harness if client_name == "harness" else Official
    client: Client = kind(Path(kubeconfig), namespace)
    say()
    if task == "follow":
        say(ended=client.follow(lambda pods: say(pods=pods)))
    elif task == "replay":
        version, last = arguments
        say(events=client.replay(version, int(last)))
    else:
        say(chosen=client.choose())


if __name__ == "__main__":
    main(*sys.argv[1:])
