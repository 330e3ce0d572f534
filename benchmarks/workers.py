"""Load by several workers: the same arrivals from 1, 2 and 4 of them, on this machine and from the cluster.

Of each run: the arrivals that were due, started, failed and recorded; the greatest distance of an intended start from
its place in the schedule (number / rate); and latencies. From the cluster, the connections to the API server are cut
again and again: ``lost`` are requests that a pod has counted and that are not in the record here. The last rows are the
time that a worker spends on the schedule for each arrival of any worker.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from benchmarks import web_target
from benchmarks.clusters import local_cluster, namespace
from benchmarks.relay import Relay, through_relay
from benchmarks.table import Row, quantile
from harness.cluster.external.cluster import KubeconfigCluster
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import SERVICES
from harness.cluster.local.cluster import LocalCluster
from harness.common.clock import SystemClock
from harness.common.progress import Progress
from harness.engine.steps.cluster_load import ClusterLoad, start_in_cluster
from harness.engine.steps.run import Run
from harness.experiment.sources import Sources
from harness.results.reporting.store import RunStore
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.driver import RunningLoad
from harness.traffic.load.plan import LoadPlan
from harness.traffic.load.schedule import ArrivalSchedule, ArrivalShare

NAMESPACE, LOAD_NAMESPACE = "bench-workers", "bench-workers-load"
CLOCK = SystemClock()
SCHEDULED = 200_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run (default: 8)")
    parser.add_argument("--rate", type=float, default=400.0, help="requests per second (default: 400)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds on this machine (default: 3)")
    parser.add_argument("--cuts", type=int, default=8, help="cuts of all connections in a run (default: 8)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], metavar="N")


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises ClusterBroken, Inconclusive when cluster or target do not become ready."""
    with local_cluster(options.cluster_name, 1, progress) as cluster, namespace(cluster, NAMESPACE):
        address = web_target.deploy(cluster, NAMESPACE)
        plan = _plan(cluster, address.host, address.port, options)
        rows: list[Row] = []
        for number in range(options.rounds):
            for workers in options.workers:
                progress(f"round {number + 1}: {workers} workers on this machine")
                rows.append(_on_machine(replace(plan, workers=workers), options))
        rows += _from_cluster(cluster, plan, options, progress)
    rows += [_schedule(workers) for workers in options.workers]
    return rows


def _plan(cluster: LocalCluster, host: str, port: int, options: argparse.Namespace) -> LoadPlan:
    return LoadPlan(
        profile=Catalogue().profile("steady"),
        rate=options.rate,
        behaviour="builtin/http",
        options={"path": "/healthz", "connection": "kept", "readTimeout": 10},
        host=host,
        port=port,
        run="benchmark",
        experiment="workers",
        namespace="benchmark",
        max_seconds=options.seconds + 120,
        command=cluster.load_command(),
    )


def _on_machine(plan: LoadPlan, options: argparse.Namespace) -> Row:
    with tempfile.TemporaryDirectory() as folder, RunningLoad.start(plan, Path(folder), CLOCK) as load:
        return _measured("on this machine", load, plan, options, lambda: None)


def _from_cluster(
    cluster: LocalCluster, plan: LoadPlan, options: argparse.Namespace, progress: Progress
) -> Iterator[Row]:
    service = cluster.api.get(SERVICES, "podinfo", NAMESPACE)["spec"]
    inside = replace(plan, host=service["clusterIP"], port=service["ports"][0]["port"], command=())
    image = cluster.runner_image(progress)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kubeconfig, relay = through_relay(cluster.kubeconfig, folder)
        api = KubeApi.connect(kubeconfig, cluster.context)
        relayed = KubeconfigCluster(api, kubeconfig, cluster.context)
        run = Run(
            id="benchmark",
            seed=1,
            cluster=relayed,
            prometheus=None,
            store=RunStore(folder / "reports"),
            sources=Sources.for_root(folder),
            clock=CLOCK,
            runner_image=image,
        )
        with closing(relayed), closing(relay):
            for workers in options.workers:
                for cuts in (0, options.cuts):
                    progress(f"{workers} workers in the cluster, connections cut {cuts} times")
                    with namespace(cluster, LOAD_NAMESPACE):
                        started = start_in_cluster(
                            run,
                            replace(inside, workers=workers),
                            namespace=LOAD_NAMESPACE,
                            avoid=NAMESPACE,
                            folder=folder / f"{workers}-{cuts}",
                        )
                        yield _cut_while_running(started, relay, replace(inside, workers=workers), options, cuts)


def _cut_while_running(
    started: ClusterLoad, relay: Relay, plan: LoadPlan, options: argparse.Namespace, cuts: int
) -> Row:
    def cut() -> None:
        for _ in range(cuts):
            CLOCK.sleep(options.seconds / (cuts + 1))
            relay.cut()

    with closing(started), started.running as load:
        row = _measured("from the cluster", load, plan, options, cut)
        connections = sum(worker.transfer.connections for worker in started.workers)
        recorded = sum(worker.transfer.bytes for worker in started.workers)
    return {
        **row,
        "cuts": cuts,
        "connections": connections,
        "bytes_per_request": round(recorded / int(row["due"] or 1)),
    }


def _measured(
    where: str, load: RunningLoad, plan: LoadPlan, options: argparse.Namespace, meanwhile: Callable[[], None]
) -> Row:
    load.wait_ready(60.0)
    origin = CLOCK.monotonic()
    load.phase("baseline", origin)
    disturber = threading.Thread(target=meanwhile, daemon=True)
    disturber.start()
    CLOCK.sleep(origin + options.seconds - CLOCK.monotonic())
    disturber.join(30.0)
    summary = load.stop()
    requests = sorted(load.requests(origin), key=lambda request: request.intended)
    intended = [request.intended for request in requests]
    distance = max((abs(at - intended[0] - number / plan.rate) for number, at in enumerate(intended)), default=0.0)
    latencies = sorted(request.latency * 1000 for request in requests)
    return {
        "part": where,
        "workers": plan.workers,
        "due": summary.offered,
        "started": summary.achieved,
        "failed": summary.failed,
        "lost": summary.achieved - len(requests),
        "late": summary.late,
        "distance_us": round(distance * 1e6, 1),
        "p50_ms": round(quantile(latencies, 0.5), 2),
        "p95_ms": round(quantile(latencies, 0.95), 2),
        "error": summary.error or "none",
    }


def _schedule(workers: int) -> Row:
    """The time for one arrival of the schedule, whoever starts it."""
    share = ArrivalShare(ArrivalSchedule(Catalogue().profile("steady"), 1000.0), 0, workers)
    share.enter("baseline", 0.0)
    begun = CLOCK.monotonic()
    while share.take() < SCHEDULED - workers:
        pass
    each = (CLOCK.monotonic() - begun) / SCHEDULED
    return {"part": "schedule", "workers": workers, "us_per_arrival": round(each * 1e6, 2)}
