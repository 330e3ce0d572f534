"""Ten thousand pods: list, memory, events per second, watch lag and choice of a victim, beside the official client.

The pods pretend to run (KWOK); API server, store and controllers are real. Both clients do the same, one after the
other, each in a process of its own: ``list`` is from its connection to its last pod, ``lag`` from the call that deletes
a pod to the arrival of its DELETED event, ``choose`` picks a victim by selector, ``replay`` digests changes of the same
pods as fast as it can. CPU and memory are those of the process, imports included.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from benchmarks import fake_pods
from benchmarks.clusters import local_cluster, refuse_existing
from benchmarks.table import Row, quantile
from harness.clock import SystemClock
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.progress import Progress
from harness.cluster.resources import PODS
from harness.errors import HarnessError

NAMESPACE = "bench-scale"
CLIENTS = {"harness": "harness, observers", "official": "official client, list and watch"}
# Far below what the server bears: this is about the way of one event, not about a queue of them.
DELETE_EVERY = 0.1
SETTLE = 3.0
ROUNDS = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pods", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--deletes", type=int, default=100, help="of pods whose lag is measured (default: 100)")


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises ClusterRefused when there is a cluster of this name: it must be a fresh one, and goes afterwards."""
    refuse_existing(options.cluster_name)
    with (
        tempfile.TemporaryDirectory() as folder,
        local_cluster(options.cluster_name, 1, progress) as cluster,
        fake_pods.kwok(cluster, Path(folder) / "kwok.log", progress) as check,
    ):
        scale = Scale(cluster, progress, options.deletes)
        scale.make_pods(options.pods, check)
        return [row for client in CLIENTS for row in scale.measure(client)]


class Scale:
    """The measurements, on one cluster."""

    def __init__(self, cluster: LocalCluster, progress: Progress, deletes: int) -> None:
        self._api, self._kubeconfig = cluster.api, cluster.kubeconfig
        self._progress, self._deletes, self._clock = progress, deletes, SystemClock()

    def make_pods(self, count: int, check: Callable[[], None]) -> None:
        """Raises TimedOut when they do not become ready."""
        namespace_object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self._api.apply(namespace_object)
        fake_pods.make_pods(self._api, NAMESPACE, count, check, self._progress)

    def measure(self, client: str) -> Iterator[Row]:
        """The rows of one client."""
        self._progress(f"{CLIENTS[client]}: list, watch, choose, replay")
        yield from self._follow(client)
        yield self._choose(client)
        yield self._replay(client)

    def _replay(self, client: str) -> Row:
        pods = self._api.digest(PODS, NAMESPACE, "", keep=orjson.dumps).items
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
            Path(file.name).write_bytes(b"\n".join(pods))
            server_command = [sys.executable, "-m", "benchmarks.replay_server", file.name, str(ROUNDS)]
            with subprocess.Popen(server_command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                try:
                    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
                    count = ROUNDS * len(pods)
                    with _watcher(client, self._kubeconfig, "replay", url, str(count)) as watcher:
                        began, ended = watcher.hear(), watcher.hear()
                finally:
                    server.kill()
        seconds = ended["at"] - began["at"]
        events = {"samples": ended["events"], "missed": count - ended["events"]}
        return {**_row(client, "replay", seconds, ended), **events, "events_per_s": round(ended["events"] / seconds)}

    def _follow(self, client: str) -> Iterator[Row]:
        with _watcher(client, self._kubeconfig, "follow") as watcher:
            began, synced = watcher.hear(), watcher.hear()
            yield {**_row(client, "list", synced["at"] - began["at"], synced), "samples": synced["pods"]}
            calls = self._delete_some()
            self._clock.sleep(SETTLE)
            watcher.finish()
            ended = watcher.hear()
        lags = [(ended["ended"][name] - at) * 1000 for name, at in calls.items() if name in ended["ended"]]
        yield {
            **_row(client, "lag", ended["at"] - synced["at"], ended),
            "samples": len(lags),
            "missed": len(calls) - len(lags),
            "median_ms": round(quantile(lags, 0.5), 1),
            "p95_ms": round(quantile(lags, 0.95), 1),
            "worst_ms": round(max(lags), 1),
        }

    def _delete_some(self) -> dict[str, float]:
        """Delete pods one by one; when each call began."""
        names = self._api.digest(PODS, NAMESPACE, "", keep=_name, metadata_only=True).items
        calls: dict[str, float] = {}
        for name in random.Random(len(names)).sample(names, self._deletes):
            calls[name] = self._clock.monotonic()
            self._api.delete(PODS, name, NAMESPACE, grace_seconds=0)
            self._clock.sleep(calls[name] + DELETE_EVERY - self._clock.monotonic())
        return calls

    def _choose(self, client: str) -> Row:
        with _watcher(client, self._kubeconfig, "choose") as watcher:
            began, ended = watcher.hear(), watcher.hear()
        return {**_row(client, "choose", ended["at"] - began["at"], ended), "samples": 1}


def _row(client: str, part: str, seconds: float, said: dict[str, Any]) -> Row:
    return {
        "part": part,
        "tool": CLIENTS[client],
        "wall_s": round(seconds, 2),
        "cpu_s": round(said["cpu_s"], 2),
        "peak_mb": round(said["peak_mb"]),
    }


def _name(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["name"])


class Watcher:
    """A running ``benchmarks.watcher``."""

    def __init__(self, process: subprocess.Popen[str], said: IO[str], told: IO[str]) -> None:
        self._process, self._said, self._told = process, said, told

    def hear(self) -> dict[str, Any]:
        """Its next line. Raises HarnessError when it ended instead."""
        line = self._said.readline()
        if not line:
            raise HarnessError(f"{' '.join(map(str, self._process.args))} ended with {self._process.wait()}")  # type: ignore[arg-type]
        return dict(json.loads(line))

    def finish(self) -> None:
        """Tell it that there is no more to see."""
        self._told.close()


@contextmanager
def _watcher(client: str, kubeconfig: Path, task: str, *arguments: str) -> Iterator[Watcher]:
    command = [sys.executable, "-m", "benchmarks.watcher", client, str(kubeconfig), NAMESPACE, task, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Watcher(process, process.stdout, process.stdin)
        finally:
            process.kill()
