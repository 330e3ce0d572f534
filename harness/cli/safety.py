"""Safety commands: ``harness halt`` stops all runs on a cluster, ``harness rbac`` prints the minimal Roles for runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import yaml

from harness.cli.selection import add_cluster_options, existing_cluster
from harness.cluster.command_lines import command_for
from harness.cluster.kube.roles import roles_for
from harness.common.clock import SystemClock, iso
from harness.common.errors import InputError, Problem
from harness.common.progress import Lines
from harness.results.reporting.plain import harmless
from harness.safety.halt import order
from harness.schedule.rbac import needed_for_files


def add_halt_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``harness halt``."""
    parser.add_argument("--reason", default="", help="shown by every run that is stopped")
    parser.add_argument("--clear", action="store_true", help="lift the halt: allow runs again")
    add_cluster_options(parser)
    parser.set_defaults(command=_halt)


def add_rbac_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``harness rbac``."""
    parser.add_argument("paths", nargs="*", type=Path, default=[Path("experiments")], help="files or folders")
    parser.add_argument(
        "--name", default="resilience-harness", help="name of the Roles and the ServiceAccount (default: %(default)s)"
    )
    for server, what in (("prometheus", "a Prometheus"), ("alertmanager", "an Alertmanager")):
        parser.add_argument(
            f"--{server}",
            default="",
            metavar="NAMESPACE/SERVICE:PORT",
            help=f"{what} that is queried through the API server",
        )
    parser.add_argument(
        "--residue", action="store_true", help="also allow runs to check for leftovers outside of namespaces"
    )
    parser.add_argument(
        "--load-from",
        choices=("auto", "machine", "cluster"),
        default="auto",
        help="where the runs generate load, as in their --load-from (default: %(default)s)",
    )
    parser.set_defaults(command=_rbac)


def _halt(options: argparse.Namespace) -> int:
    with existing_cluster(options, Lines()) as cluster:
        place = f"{cluster.context} at {cluster.api.server}"
        if options.clear:
            found = order.clear(cluster.api)
            result = f"halt lifted, runs are allowed again ({found})" if found else "no halt is in effect"
            print(harmless(f"{place}: {result}"))
            return 0
        halt = order.Halt(order.whoami(), options.reason, iso(SystemClock().wall()))
        order.order(cluster.api, halt)
        print(harmless(f"{place}: {halt}; to allow runs again: {command_for(cluster, 'halt', '--clear')}"))
        return 0


def _rbac(options: argparse.Namespace) -> int:
    proxied = {"--prometheus": options.prometheus, "--alertmanager": options.alertmanager}
    problems = [
        Problem(
            f"found {value!r}, expected NAMESPACE/SERVICE:PORT, for example monitoring/prometheus:9090", field=field
        )
        for field, value in proxied.items()
        if value and not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+:[a-z0-9-]+", value)
    ]
    if problems:
        raise InputError(problems)
    needed = needed_for_files(options.paths, options.load_from, with_residue=options.residue)
    for guess in needed.guesses:
        # As a comment, so that the output stays valid YAML for kubectl.
        print(f"# guessed: {guess}; compare it with `kubectl api-resources`")
    roles = roles_for(needed.permissions, options.name, filter(None, proxied.values()))
    print(yaml.safe_dump_all(roles, sort_keys=False), end="")
    return 0
