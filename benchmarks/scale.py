"""Ten thousand pods: list, memory, events per second, watch lag and choice of a victim, beside the official client.

The pods pretend to run (KWOK); API server, store and controllers are real. Both clients do the same, in turns (A B, B
A, …), each time in a process of its own, and when the cluster has come to rest: ``list`` is from its connection to
its last pod, ``lag`` from the call that deletes a pod to the arrival of its DELETED event, ``choose`` picks a victim
by selector, ``replay`` digests changes of the same pods as fast as it can. CPU and memory are those of the process,
imports included.

What was measured in several rounds is their median, with ``_min`` and ``_max`` beside it; lags are those of all
rounds, ``median_min_ms`` and ``median_max_ms`` the medians of the calmest round and the worst. ``not_at_rest`` counts
the rounds that began although the cluster was still busy.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from benchmarks import fake_pods
from benchmarks.clusters import local_cluster, refuse_existing
from benchmarks.rest import cpu_seconds, wait_for_rest
from benchmarks.table import Row, quantile
from harness.cluster.kube.resources import PODS
from harness.cluster.local.cluster import LocalCluster
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.common.progress import Progress

NAMESPACE = "bench-scale"
CLIENTS = {"harness": "harness, observers", "official": "official client, list and watch"}
# Far below what the server bears: this is about the way of one event, not about a queue of them.
DELETE_EVERY = 0.1
SETTLE = 3.0
ROUNDS = 3
# How often every pod changes in a replay.
CHANGES = 3
# Seconds that the cluster has to come to rest: after its pods were made, and after each measurement.
FIRST_REST, REST = 90.0, 20.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pods", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--deletes", type=int, default=40, help="of pods whose lag is measured, a round (default: 40)")


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
        return [*scale.measure()]


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a measurement took, and how busy the cluster was before it (cores), if it would not rest."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    busy: float | None


@dataclass(frozen=True, slots=True)
class Followed:
    """One round of ``list`` and ``lag``. ``lags`` in milliseconds, of ``deleted`` pods those whose end was seen."""

    listing: Part
    watching: Part
    pods: int
    deleted: int
    lags: list[float]


class Scale:
    """The measurements, on one cluster."""

    def __init__(self, cluster: LocalCluster, progress: Progress, deletes: int) -> None:
        self._api, self._kubeconfig, self._name = cluster.api, cluster.kubeconfig, cluster.name
        self._progress, self._deletes, self._clock = progress, deletes, SystemClock()

    def make_pods(self, count: int, check: Callable[[], None]) -> None:
        """Raises TimedOut when they do not become ready."""
        namespace_object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self._api.apply(namespace_object)
        fake_pods.make_pods(self._api, NAMESPACE, count, check, self._progress)
        self._rest(FIRST_REST)

    def measure(self) -> Iterator[Row]:
        """The rows of all clients."""
        rounds: dict[str, list[Followed]] = {client: [] for client in CLIENTS}
        for number in range(ROUNDS):
            for client in turns(number):
                self._progress(f"{CLIENTS[client]}: list and watch, {number + 1} of {ROUNDS}")
                rounds[client].append(self._follow(client))
        for client, tool in CLIENTS.items():
            self._progress(f"{tool}: choose, replay")
            yield from followed_rows(tool, rounds[client])
            yield self._choose(client)
            yield self._replay(client)

    def _rest(self, seconds: float = REST) -> float | None:
        busy = wait_for_rest(lambda: cpu_seconds(self._name), seconds, self._clock)
        if busy is not None:
            self._progress(f"the cluster did not come to rest within {seconds:g} s: it uses {busy:.1f} cores")
        return busy

    def _replay(self, client: str) -> Row:
        pods = self._api.digest(PODS, NAMESPACE, "", keep=orjson.dumps).items
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
            Path(file.name).write_bytes(b"\n".join(pods))
            server_command = [sys.executable, "-m", "benchmarks.replay_server", file.name, str(CHANGES)]
            with subprocess.Popen(server_command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                try:
                    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
                    count = CHANGES * len(pods)
                    busy = self._rest()
                    with _watcher(client, self._kubeconfig, "replay", url, str(count)) as watcher:
                        began, ended = watcher.hear(), watcher.hear()
                finally:
                    server.kill()
        seconds = ended["at"] - began["at"]
        row = part_row("replay", CLIENTS[client], [_part(seconds, ended, busy)], ended["events"])
        return {**row, "missed": count - ended["events"], "events_per_s": round(ended["events"] / seconds)}

    def _follow(self, client: str) -> Followed:
        names = self._api.digest(PODS, NAMESPACE, "", keep=_name, metadata_only=True).items
        victims = random.Random(len(names)).sample(names, self._deletes)
        busy = self._rest()
        with _watcher(client, self._kubeconfig, "follow") as watcher:
            began, synced = watcher.hear(), watcher.hear()
            listing = _part(synced["at"] - began["at"], synced, busy)
            busy = self._rest()
            calls = self._delete(victims)
            self._clock.sleep(SETTLE)
            watcher.finish()
            ended = watcher.hear()
        watching = _part(ended["at"] - min(calls.values()), ended, busy)
        lags = [(ended["ended"][name] - at) * 1000 for name, at in calls.items() if name in ended["ended"]]
        return Followed(listing, watching, synced["pods"], len(calls), lags)

    def _delete(self, names: list[str]) -> dict[str, float]:
        """Delete pods one by one; when each call began."""
        calls: dict[str, float] = {}
        for name in names:
            calls[name] = self._clock.monotonic()
            self._api.delete(PODS, name, NAMESPACE, grace_seconds=0)
            self._clock.sleep(calls[name] + DELETE_EVERY - self._clock.monotonic())
        return calls

    def _choose(self, client: str) -> Row:
        busy = self._rest()
        with _watcher(client, self._kubeconfig, "choose") as watcher:
            began, ended = watcher.hear(), watcher.hear()
        return part_row("choose", CLIENTS[client], [_part(ended["at"] - began["at"], ended, busy)], 1)


def turns(number: int) -> list[str]:
    """The clients of a round, in their order: whoever was last is first in the next, so that neither always follows."""
    return list(CLIENTS) if number % 2 == 0 else list(CLIENTS)[::-1]


def followed_rows(tool: str, rounds: list[Followed]) -> Iterator[Row]:
    """``list`` and ``lag`` of one client in all rounds. Raises HarnessError where no deletion was seen."""
    yield part_row("list", tool, [each.listing for each in rounds], min(each.pods for each in rounds))
    lags = [lag for each in rounds for lag in each.lags]
    if not all(each.lags for each in rounds):
        raise HarnessError(f"{tool}: a round in which none of {rounds[0].deleted} deletions was seen")
    medians = [quantile(each.lags, 0.5) for each in rounds]
    yield {
        **part_row("lag", tool, [each.watching for each in rounds], len(lags)),
        "missed": sum(each.deleted for each in rounds) - len(lags),
        "median_ms": round(quantile(lags, 0.5), 1),
        "median_min_ms": round(min(medians), 1),
        "median_max_ms": round(max(medians), 1),
        "p95_ms": round(quantile(lags, 0.95), 1),
        "worst_ms": round(max(lags), 1),
    }


def part_row(part: str, tool: str, rounds: list[Part], samples: int) -> Row:
    """What all rounds of a part have in common."""
    return {
        "part": part,
        "tool": tool,
        "rounds": len(rounds),
        **_spread("wall", "s", [each.wall_s for each in rounds], 2),
        **_spread("cpu", "s", [each.cpu_s for each in rounds], 2),
        **_spread("peak", "mb", [each.peak_mb for each in rounds], None),
        "samples": samples,
        "not_at_rest": sum(each.busy is not None for each in rounds),
    }


def _spread(name: str, unit: str, values: list[float], digits: int | None) -> Row:
    median = {f"{name}_{unit}": round(statistics.median(values), digits)}
    if len(values) == 1:
        return median
    ends = {f"{name}_min_{unit}": min(values), f"{name}_max_{unit}": max(values)}
    return median | {end: round(value, digits) for end, value in ends.items()}


def _part(seconds: float, said: dict[str, Any], busy: float | None) -> Part:
    return Part(seconds, said["cpu_s"], said["peak_mb"], busy)


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
