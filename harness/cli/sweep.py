"""Commands that undo the leftovers of dead runs: ``harness sweep`` does it now, from any machine; ``harness janitor``
prints the manifests of a CronJob that does it inside the cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

import yaml

from harness.cli.selection import add_cluster_options, existing_cluster, settings_of
from harness.cluster.command_lines import command_for
from harness.cluster.kind.cluster import CONTEXT_PREFIX, KindCluster
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.kube.client import KubeApi
from harness.cluster.protocol import Cluster
from harness.common.clock import SystemClock
from harness.common.errors import InputError, Problem
from harness.common.progress import Lines
from harness.engine.choose_cluster import attach, in_cluster
from harness.engine.steps.run import cluster_uid
from harness.experiment import registry
from harness.results.reporting.plain import harmless
from harness.safety.cleanup import deadman, janitor
from harness.safety.cleanup.leftovers import Leftovers
from harness.safety.cleanup.sweep import Survey, Sweep, Wanted

# In addition to 0 (no leftovers of dead runs) and 1 (some leftovers could not be undone).
SOMETHING_TO_SWEEP = 3


def add_options(sweep: argparse.ArgumentParser) -> None:
    """Add the options of ``harness sweep``."""
    sweep.description = (
        "Undo the leftovers of dead runs. Live runs are never changed. Exit codes: 0 no leftovers remain, "
        f"1 some leftovers could not be undone, {SOMETHING_TO_SWEEP} --dry-run found leftovers."
    )
    add_cluster_options(sweep)
    sweep.add_argument(
        "--in-cluster", action="store_true", help="use the cluster of the pod this runs in, with its ServiceAccount"
    )
    sweep.add_argument(
        "--reports", type=Path, default=Path("reports"), help="folder with undo journals on disk (default: reports)"
    )
    sweep.add_argument("--dry-run", action="store_true", help="show what would be undone, change nothing")
    sweep.add_argument("--run", default="", metavar="ID", help="only this run")
    sweep.add_argument("--kept", action="store_true", help="also remove namespaces kept on purpose (--cluster-keep)")
    sweep.add_argument("--force", action="store_true", help="with --run: also if that run is alive")
    # For the dead-man switch that a run starts: see harness/safety/cleanup/deadman.py.
    sweep.add_argument("--orphaned", type=Path, metavar="JOURNAL", help=argparse.SUPPRESS)
    sweep.add_argument("--made", type=int, default=0, help=argparse.SUPPRESS)
    sweep.set_defaults(command=_sweep)


def add_janitor_options(manifest: argparse.ArgumentParser) -> None:
    """Add the options of ``harness janitor``."""
    manifest.add_argument("--image", required=True, help="the runner image: see harness/cluster/runner/Containerfile")
    manifest.add_argument("--schedule", default="*/2 * * * *", help="schedule of the CronJob (default: %(default)s)")
    manifest.set_defaults(command=_janitor)


def _sweep(options: argparse.Namespace) -> int:
    if options.force and not options.run:
        raise InputError([Problem("found --force without --run, expected --run ID: name the run to end")])
    if options.orphaned:
        return _dead_man_switch(options)
    return _sweep_once(options)


def _dead_man_switch(options: argparse.Namespace) -> int:
    """Run the dead-man switch of one experiment until the run ends: see ``deadman``."""
    guard = deadman.Guard(
        options.orphaned,
        options.made,
        SystemClock(),
        connect=lambda: _cluster_without_api(options),
        actions=registry.undo_actions(),
        progress=_progress,
    )
    while (ending := guard.wait()) is not deadman.Ending.IN_ORDER:
        failed = guard.undo_entries(ending)
        # The Leases and journal copies of the run are in no journal on disk; a live run is not changed.
        try:
            swept = _sweep_once(options)
        except Exception as error:  # noqa: BLE001 - whatever fails here, the switch must go on waiting for the run to end
            _progress(f"the sweep failed: {type(error).__name__}: {error}")
            swept = 1
        if ending is deadman.Ending.GONE:
            return _conclude([], failed) or swept
    return 0


def _cluster_without_api(options: argparse.Namespace) -> Cluster:
    """Return the cluster whose nodes are restored, without calling its API, which may be down. Raises HarnessError."""
    settings = settings_of(options)
    context = settings.context if settings.cluster == "current" else settings.cluster
    kubeconfig = settings.kubeconfig
    if context.startswith(CONTEXT_PREFIX):
        return _KindWithoutApi(KubeApi.connect(kubeconfig, context), kubeconfig, context)
    return attach(kubeconfig, context)


class _KindWithoutApi(KindCluster):
    """A kind cluster with node access that needs no API: the run checked before its fault that the nodes are local."""

    def nodes(self) -> KindNodes:
        return KindNodes()


def _sweep_once(options: argparse.Namespace) -> int:
    with _cluster(options) as cluster:
        files = sorted(options.reports.rglob("undo.jsonl")) if options.reports.is_dir() else []
        sweep = Sweep(
            cluster,
            SystemClock(),
            _progress,
            cluster_uid=cluster_uid(cluster),
            files=files,
            actions=registry.undo_actions(),
        )
        wanted = Wanted(options.run, options.force, options.kept)
        survey = sweep.survey(wanted)
        _show(survey, cluster)
        if options.dry_run:
            return SOMETHING_TO_SWEEP if survey.dead or survey.unreadable else 0
        failures = sweep.undo_each(survey.dead, wanted) + survey.unreadable
        if not wanted.kept:
            for left in survey.dead:
                _show_kept(left, cluster)
        return _conclude(survey.dead, failures)


def _cluster(options: argparse.Namespace) -> AbstractContextManager[Cluster]:
    if options.in_cluster:
        return closing(in_cluster())
    return existing_cluster(options, Lines())


def _show(survey: Survey, cluster: Cluster) -> None:
    context = cluster.context
    for left in survey.live:
        _progress(f"{left.run} is alive, skipped ({left.lease.holder if left.lease else ''})")
    for left in survey.kept:
        _show_kept(left, cluster)
    for left in survey.dead:
        _progress(f"{left.run} is dead, leftovers in {context}:")
        for line in left.lines():
            _progress(f"  {line}")
    for problem in survey.unreadable:
        _progress(f"cannot read an undo journal on disk: {problem}")
    if not survey.dead:
        _progress(f"{context}: no leftovers of dead runs")


def _show_kept(left: Leftovers, cluster: Cluster) -> None:
    if left.retained_namespaces:
        remove = command_for(cluster, "sweep", "--kept", "--run", left.run)
        _progress(f"{left.run}: kept on purpose (`{remove}` removes it): {', '.join(sorted(left.retained_namespaces))}")


def _conclude(dead: Sequence[Leftovers], failures: Sequence[str]) -> int:
    if failures:
        bar = "=" * 78
        print(
            bar,
            "STILL IN THE CLUSTER: could not undo",
            *map(harmless, failures),
            bar,
            sep="\n",
            file=sys.stderr,
        )
        return 1
    if dead:
        _progress(f"undone: {', '.join(left.run for left in dead)}")
    return 0


def _janitor(options: argparse.Namespace) -> int:
    print(yaml.safe_dump_all(janitor.manifests(options.image, options.schedule), sort_keys=False), end="")
    return 0


def _progress(text: str) -> None:
    print(harmless(text), flush=True)
