"""The commands that take back what dead runs left: ``harness sweep`` does it now, from anywhere; ``harness janitor``
prints what a cluster needs to do it by itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from harness import deadman, janitor, registry
from harness.choosing import attach, current_context
from harness.clock import SystemClock
from harness.cluster.api import KubeApi
from harness.cluster.kind.cluster import CONTEXT_PREFIX, KindCluster
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.kubeconfig import KubeconfigCluster
from harness.cluster.protocol import Cluster
from harness.errors import InputError, Problem
from harness.leftovers import Leftovers
from harness.reporting.plain import harmless
from harness.run import cluster_uid
from harness.sweep import Survey, Sweep, Wanted

# Beside 0 (nothing of a dead run is left) and 1 (something is, and could not be taken back).
SOMETHING_TO_SWEEP = 3


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to ``harness``."""
    sweep = verbs.add_parser(
        "sweep",
        help="take back what dead runs left in a cluster",
        description="Takes back what dead runs left; never touches a live one. Exit codes: 0 nothing is left, "
        f"1 something is and could not be taken back, {SOMETHING_TO_SWEEP} --dry-run found something.",
    )
    where = sweep.add_mutually_exclusive_group()
    where.add_argument("--context", help="kubeconfig context (default: the current one)")
    where.add_argument("--in-cluster", action="store_true", help="as the ServiceAccount of the pod that this runs in")
    sweep.add_argument("--kubeconfig", type=Path, help="kubeconfig file (default: the client's own)")
    sweep.add_argument("--as", dest="user", default="", metavar="USER", help="act as this user")
    sweep.add_argument("--reports", type=Path, default=Path("reports"), help="folder with journals on disk (reports)")
    sweep.add_argument("--dry-run", action="store_true", help="show what would be taken back, and change nothing")
    sweep.add_argument("--run", default="", metavar="ID", help="only this run")
    sweep.add_argument("--kept", action="store_true", help="also what was kept on purpose (--cluster-keep)")
    sweep.add_argument("--force", action="store_true", help="with --run: even if that run is alive")
    # What a run starts for itself: see harness/deadman.py.
    sweep.add_argument("--orphaned", type=Path, metavar="JOURNAL", help=argparse.SUPPRESS)
    sweep.add_argument("--made", type=int, default=0, help=argparse.SUPPRESS)
    sweep.set_defaults(command=_sweep)
    manifest = verbs.add_parser("janitor", help="print the manifests of a CronJob that sweeps its own cluster")
    manifest.add_argument("--image", required=True, help="an image with this harness: see docs/janitor")
    manifest.add_argument("--schedule", default="*/2 * * * *", help="of the CronJob (%(default)s)")
    manifest.set_defaults(command=_janitor)


def _sweep(options: argparse.Namespace) -> int:
    if options.force and not options.run:
        raise InputError([Problem("found --force alone, expected --run ID with it: which run is to end?")])
    if options.orphaned:
        return _outlive(options)
    return _sweep_once(options)


def _outlive(options: argparse.Namespace) -> int:
    """Be the dead-man switch of one experiment: see ``deadman``."""
    guard = deadman.Guard(
        options.orphaned,
        options.made,
        SystemClock(),
        connect=lambda: _machines(options),
        actions=registry.undo_actions(),
        say=_say,
    )
    while (ending := guard.wait()) is not deadman.Ending.IN_ORDER:
        failed = guard.take_back(ending)
        # What no journal tells of, the run's Leases and the copies of its journals; a run that lives is left alone.
        try:
            swept = _sweep_once(options)
        except Exception as error:  # noqa: BLE001 - whatever stands in its way, it still waits for the run's end
            _say(f"nothing more could be swept: {type(error).__name__}: {error}")
            swept = 1
        if ending is deadman.Ending.GONE:
            return _conclude([], failed) or swept
    return 0


def _machines(options: argparse.Namespace) -> Cluster:
    """The cluster whose nodes are to be taken back, without asking its API, which may be away. Raises HarnessError."""
    if options.context.startswith(CONTEXT_PREFIX):
        return _KindMachines(KubeApi.connect(options.kubeconfig, options.context), options.kubeconfig, options.context)
    return _cluster(options)


class _KindMachines(KindCluster):
    """kind's nodes as they can be reached without the API: that they are here was found out before one was hit."""

    def nodes(self) -> KindNodes:
        return KindNodes()


def _sweep_once(options: argparse.Namespace) -> int:
    cluster = _cluster(options)
    try:
        if options.user:
            cluster.api.impersonate(options.user)
        files = sorted(options.reports.rglob("undo.jsonl")) if options.reports.is_dir() else []
        sweep = Sweep(cluster, SystemClock(), _say, cluster_uid=cluster_uid(cluster), files=files)
        wanted = Wanted(options.run, options.force, options.kept)
        survey = sweep.survey(wanted)
        _show(survey, cluster.context)
        if options.dry_run:
            return SOMETHING_TO_SWEEP if survey.dead or survey.unreadable else 0
        return _conclude(survey.dead, sweep.take_back_each(survey.dead, wanted) + survey.unreadable)
    finally:
        cluster.close()


def _cluster(options: argparse.Namespace) -> Cluster:
    if options.in_cluster:
        return KubeconfigCluster(KubeApi.in_cluster(), None, "in-cluster")
    return attach(options.kubeconfig, options.context or current_context(options.kubeconfig))


def _show(survey: Survey, context: str) -> None:
    for left in survey.live:
        _say(f"{left.run} is alive: left alone ({left.lease.holder if left.lease else ''})")
    for left in survey.kept:
        _say(f"{left.run} was kept on purpose (--kept takes it away): {', '.join(left.namespaces)}")
    for left in survey.dead:
        _say(f"{left.run} is dead and has left in {context}:")
        for line in left.lines():
            _say(f"  {line}")
    for problem in survey.unreadable:
        _say(f"a journal on disk that cannot be read: {problem}")
    if not survey.dead:
        _say(f"{context}: nothing of a dead run is left")


def _conclude(dead: Sequence[Leftovers], failures: Sequence[str]) -> int:
    if failures:
        bar = "=" * 78
        print(
            bar,
            "STILL IN THE CLUSTER: these could not be taken back",
            *map(harmless, failures),
            bar,
            sep="\n",
            file=sys.stderr,
        )
        return 1
    if dead:
        _say(f"taken back: {', '.join(left.run for left in dead)}")
    return 0


def _janitor(options: argparse.Namespace) -> int:
    print(yaml.safe_dump_all(janitor.manifests(options.image, options.schedule), sort_keys=False), end="")
    return 0


def _say(text: str) -> None:
    print(harmless(text), flush=True)
