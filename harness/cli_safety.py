"""The commands that keep people safe: ``harness halt`` stops every run on a cluster, ``harness rbac`` prints the Roles
that allow what a run needs, and no more."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import yaml

from harness import residue
from harness.access import needed_by_session, useful_to_session
from harness.clock import SystemClock, iso
from harness.cluster.api import KubeApi
from harness.cluster.local import commands
from harness.cluster.roles import roles_for
from harness.errors import InputError, Problem
from harness.halt import order
from harness.items import experiment_files
from harness.loading import load_experiment
from harness.reporting.plain import harmless
from harness.requirements import permissions
from harness.sources import Sources

_LOCAL = "local-"


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to ``harness``."""
    halt = verbs.add_parser("halt", help="end every run on a cluster at once, and let none begin")
    halt.add_argument("--reason", default="", help="told by every run that obeys")
    halt.add_argument("--clear", action="store_true", help="let runs begin again")
    halt.add_argument("--context", help="kubeconfig context (default: the current one)")
    halt.add_argument("--kubeconfig", type=Path, help="kubeconfig file (default: the client's own)")
    halt.set_defaults(command=_halt)
    rbac = verbs.add_parser("rbac", help="print the Roles that experiments need, and no more")
    rbac.add_argument("paths", nargs="*", type=Path, default=[Path("experiments")], help="files or folders")
    rbac.add_argument("--name", default="resilience-harness", help="of Roles and ServiceAccount (%(default)s)")
    rbac.add_argument(
        "--prometheus", default="", metavar="NAMESPACE/SERVICE:PORT", help="one to be read through the API server"
    )
    rbac.add_argument(
        "--residue", action="store_true", help="let runs look for what they left behind outside of namespaces, too"
    )
    rbac.set_defaults(command=_rbac)


def _halt(options: argparse.Namespace) -> int:
    api = _connect(options.kubeconfig, options.context)
    try:
        if options.clear:
            found = order.clear(api)
            said = f"runs may begin again ({found})" if found else "no halt was ordered"
            print(harmless(f"{api.server}: {said}"))
            return 0
        halt = order.Halt(order.whoami(), options.reason, iso(SystemClock().wall()))
        order.order(api, halt)
        print(harmless(f"{api.server}: {halt}; nothing begins until: harness halt --clear"))
        return 0
    finally:
        api.close()


def _rbac(options: argparse.Namespace) -> int:
    found = re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+:[a-z0-9-]+", options.prometheus)
    if options.prometheus and not found:
        what = f"found {options.prometheus!r}, expected NAMESPACE/SERVICE:PORT such as monitoring/prometheus:9090"
        raise InputError([Problem(what, field="--prometheus")])
    sources = Sources.for_root(Path.cwd())
    needed = needed_by_session() | useful_to_session() | (residue.PERMISSIONS if options.residue else frozenset())
    for file in (file for path in options.paths for file in experiment_files(path)):
        experiment = load_experiment(file, sources)
        for each in (experiment, *map(experiment.as_twin, experiment.twins or ())):
            needed |= permissions(each)
    print(yaml.safe_dump_all(roles_for(needed, options.name, options.prometheus), sort_keys=False), end="")
    return 0


def _connect(kubeconfig: Path | None, context: str | None) -> KubeApi:
    if kubeconfig is None and context and context.startswith(_LOCAL):
        # A cluster of ours has a kubeconfig of its own, which is in nobody's KUBECONFIG unless put there.
        kubeconfig = commands.kubeconfig(context.removeprefix(_LOCAL))
    return KubeApi.connect(kubeconfig, context)
