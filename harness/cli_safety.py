"""The commands that keep people safe: ``harness halt`` stops every run on a cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.clock import SystemClock, iso
from harness.cluster.api import KubeApi
from harness.cluster.local import commands
from harness.halt import order

_LOCAL = "local-"


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to ``harness``."""
    halt = verbs.add_parser("halt", help="end every run on a cluster at once, and let none begin")
    halt.add_argument("--reason", default="", help="told by every run that obeys")
    halt.add_argument("--clear", action="store_true", help="let runs begin again")
    halt.add_argument("--context", help="kubeconfig context (default: the current one)")
    halt.add_argument("--kubeconfig", type=Path, help="kubeconfig file (default: the client's own)")
    halt.set_defaults(command=_halt)


def _halt(options: argparse.Namespace) -> int:
    api = _connect(options.kubeconfig, options.context)
    try:
        if options.clear:
            found = order.clear(api)
            print(f"{api.server}: runs may begin again ({found})" if found else f"{api.server}: no halt was ordered")
            return 0
        halt = order.Halt(order.whoami(), options.reason, iso(SystemClock().wall()))
        order.order(api, halt)
        print(f"{api.server}: {halt}; nothing begins until: harness halt --clear")
        return 0
    finally:
        api.close()


def _connect(kubeconfig: Path | None, context: str | None) -> KubeApi:
    if kubeconfig is None and context and context.startswith(_LOCAL):
        # A cluster of ours has a kubeconfig of its own, which is in nobody's KUBECONFIG unless put there.
        kubeconfig = commands.kubeconfig(context.removeprefix(_LOCAL))
    return KubeApi.connect(kubeconfig, context)
