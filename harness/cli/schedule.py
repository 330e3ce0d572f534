"""``harness schedule``: experiments and game days that a CronJob runs in the cluster."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from harness.cli.schedule_options import add_definition
from harness.cli.selection import add_cluster_options, existing_cluster
from harness.common.clock import SystemClock
from harness.common.errors import InputError, Problem
from harness.common.progress import Lines
from harness.model.quantities import counted
from harness.results.reporting.plain import harmless

if TYPE_CHECKING:
    from harness.cluster.kube.client import KubeApi
    from harness.cluster.protocol import Cluster
    from harness.schedule.status import Ended, Status
    from harness.schedule.values import Values

# `list --check` found something that somebody must look at.
TROUBLE = 1
_MOST_LINES = 200_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    render = verbs.add_parser("render", help="print the manifests, or write a kustomization or a Helm chart")
    add_definition(render)
    render.add_argument(
        "--format",
        choices=("manifests", "kustomize", "helm", "values"),
        default="manifests",
        help="(default: manifests)",
    )
    render.add_argument("--output", type=Path, metavar="DIR", help="folder for a kustomization or a chart")
    render.set_defaults(command=_render)
    apply = verbs.add_parser("apply", help="create or change a schedule in a cluster")
    add_definition(apply, image_required=False)
    apply.add_argument("--force", action="store_true", help="overwrite fields that others changed by hand")
    add_cluster_options(apply)
    apply.set_defaults(command=_apply)
    listing = verbs.add_parser("list", help="show all schedules: last and next run, and what was missed or broke")
    listing.add_argument(
        "--check",
        action="store_true",
        help=f"exit with {TROUBLE} if a run was missed, did not hold, or may have left something behind",
    )
    add_cluster_options(listing)
    listing.set_defaults(command=_list)
    fetch = verbs.add_parser("fetch", help="copy the reports from the schedule's volume to a folder of this machine")
    fetch.add_argument("name", help="name of the schedule")
    fetch.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="folder for the runs that it does not have"
    )
    fetch.add_argument("--run", default="", help="copy only this run, also if the folder has it")
    fetch.add_argument("--image", default="", metavar="REF", help="image with Python, if the schedule was deleted")
    add_cluster_options(fetch)
    fetch.set_defaults(command=_fetch)
    for name, about, function in (
        ("run-now", "start a run now, in addition to the scheduled ones", _run_now),
        ("suspend", "start no further runs; an active one goes on (`harness halt` stops it)", _suspend),
        ("resume", "start runs again", _resume),
        ("logs", "print the log of the newest run", _logs),
        ("delete", "remove everything that belongs to a schedule except its results", _delete),
    ):
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("name", help="name of the schedule")
        if name == "logs":
            verb.add_argument("--job", default="", help="the Job of another run: see `harness schedule list`")
            verb.add_argument(
                "--results", type=Path, metavar="DIR", help="write the results in the log, if they could not be stored"
            )
        if name == "delete":
            verb.add_argument("--results", action="store_true", help="also delete the volume with the reports")
        add_cluster_options(verb)
        verb.set_defaults(command=function)


def _render(options: argparse.Namespace) -> int:
    from harness.schedule import export
    from harness.schedule.manifests import manifests

    folder = options.output
    if options.format in {"kustomize", "helm"} and folder is None:
        raise InputError([Problem(f"is missing, expected a folder for --format={options.format}", field="--output")])
    if options.format in {"manifests", "values"} and folder is not None:
        raise InputError([Problem(f"found --format={options.format}, expected kustomize or helm", field="--output")])
    values = _values(options)
    match options.format:
        case "manifests":
            print(export.as_yaml(*manifests(values)), end="")
        case "values":
            print(export.as_yaml(values.as_json()), end="")
        case _:
            write = export.write_kustomization if options.format == "kustomize" else export.write_chart
            for file in write(values, folder):
                print(file)
    return 0


def _apply(options: argparse.Namespace) -> int:
    from harness.schedule import operations

    progress = Lines()
    # All checks of the files come before the cluster is contacted.
    given = _values(options, image="unknown")
    with existing_cluster(options, progress) as cluster:
        values = _for_cluster(given, options, cluster, progress)
        operations.apply(cluster.api, values, progress, force=options.force)
        (status,) = _statuses(cluster.api, values.name)
        print(harmless(f"next run: {_time(status.next, status)}" if status.next else "suspended: no next run"))
    return 0


def _for_cluster(values: Values, options: argparse.Namespace, cluster: Cluster, progress: Lines) -> Values:
    """Return the values with what only the cluster can tell: its own runner image, if none was given."""
    from harness.cluster.local.images import REGISTRY_HOST

    if options.image or values.image != "unknown":
        return values
    if cluster.provider == "local":
        image = cluster.runner_image(progress)
        return values.model_copy(update={"image": image, "images": values.images or REGISTRY_HOST})
    if cluster.provider == "kind":
        return values.model_copy(update={"image": cluster.runner_image(progress)})
    message = "is missing, expected an image that the nodes can pull: see harness/cluster/runner/Containerfile"
    raise InputError([Problem(message, field="--image")])


def _values(options: argparse.Namespace, image: str = "") -> Values:
    from harness.cli.schedule_options import values_of

    values, guesses = values_of(options, SystemClock().wall(), image)
    for guess in guesses:
        # As a comment, so that the output stays valid YAML.
        print(f"# guessed: {guess}; compare it with `kubectl api-resources`")
    return values


def _list(options: argparse.Namespace) -> int:
    with existing_cluster(options, Lines()) as cluster:
        found = _statuses(cluster.api)
    if not found:
        print("this cluster has no schedules")
        return 0
    rows = [("NAME", "SCHEDULE", "TIME ZONE", "LAST RUN", "RESULT", "LAST SUCCESS", "NEXT RUN"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(harmless("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()))
    lines = [f"{each.name}: {line}" for each in found for line in each.troubles({"missed": _time(each.missed, each)})]
    lines += [f"{each.name}: edited by hand ({each.edited}); the next apply shows it" for each in found if each.edited]
    for line in lines:
        print(harmless(line))
    bad = any(True for each in found for _ in each.troubles({"missed": ""}))
    return TROUBLE if options.check and bad else 0


def _row(status: Status) -> tuple[str, ...]:
    newest = status.runs[0] if status.runs else None
    following = "suspended" if status.suspended else _time(status.next, status)
    return (
        status.name,
        status.schedule,
        status.time_zone,
        _began(newest, status),
        newest.verdict if newest else "",
        _began(status.last_success, status),
        following,
    )


def _began(run: Ended | None, status: Status) -> str:
    return _time(run.began, status) if run else "never"


def _time(at: float | None, status: Status) -> str:
    """Format a time in the schedule's own zone."""
    if at is None:
        return "never"
    try:
        zone = ZoneInfo(status.time_zone)
    except (OSError, ValueError):
        zone = ZoneInfo("Etc/UTC")
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M}"


def _statuses(api: KubeApi, name: str = "") -> list[Status]:
    from harness.schedule.status import statuses

    return statuses(api, SystemClock().wall(), name)


def _run_now(options: argparse.Namespace) -> int:
    from harness.schedule import operations

    with existing_cluster(options, Lines()) as cluster:
        print(harmless(f"started {operations.run_now(cluster.api, options.name)}"))
    return 0


def _suspend(options: argparse.Namespace) -> int:
    return _set_suspended(options, suspended=True)


def _resume(options: argparse.Namespace) -> int:
    return _set_suspended(options, suspended=False)


def _set_suspended(options: argparse.Namespace, *, suspended: bool) -> int:
    from harness.schedule import operations

    with existing_cluster(options, Lines()) as cluster:
        operations.suspend(cluster.api, options.name, SystemClock(), suspended=suspended)
        (status,) = _statuses(cluster.api, options.name)
    active = next((run.job for run in status.runs if run.active), "")
    print(harmless(f"{options.name}: {'suspended' if suspended else f'next run {_time(status.next, status)}'}"))
    if active and suspended:
        print(harmless(f"{active} is active and goes on; `harness halt` stops it"))
    return 0


def _logs(options: argparse.Namespace) -> int:
    from harness.schedule import operations

    with existing_cluster(options, Lines()) as cluster:
        operations.find(cluster.api, options.name)
        log = operations.log_of(cluster.api, options.name, options.job, tail=_MOST_LINES)
    if options.results:
        return _write_results(log, options.results)
    print(harmless(log), end="")
    return 0


def _write_results(log: str, folder: Path) -> int:
    from harness.results.reporting.store import RESULTS
    from harness.schedule.runner import results_in_log

    try:
        found = results_in_log(log)
    except (ValueError, OSError, EOFError) as error:
        raise InputError([Problem(f"the results in the log are damaged: {error}", field="--results")]) from error
    if not found:
        raise InputError([Problem("the log contains no results: they were stored", field="--results")])
    for run, content in found.items():
        target = folder / Path(run).name / RESULTS
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        print(f"{target}; to render the report: harness report {target.parent}")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from harness.schedule.fetch import fetch

    def progress(message: str) -> None:
        print(harmless(message))

    with existing_cluster(options, Lines()) as cluster:
        count = fetch(
            cluster.api, options.name, options.to, SystemClock(), progress, run=options.run, image=options.image
        )
    print(f"{counted(count, 'run')} copied to {options.to}; to see one: RUN/index.html")
    return 0


def _delete(options: argparse.Namespace) -> int:
    from harness.schedule import operations

    with existing_cluster(options, Lines()) as cluster:
        done = operations.delete(cluster.api, options.name, SystemClock(), Lines(), results=options.results)
    for line in done.removed:
        print(harmless(f"deleted {line}"))
    for line in done.left:
        print(harmless(f"left {line}"))
    return 0
