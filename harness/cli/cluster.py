"""``harness cluster …``: create, remove and show local clusters, and build their components."""

from __future__ import annotations

import argparse

from harness.cli.selection import add_name_option, cluster_name
from harness.cluster.local import commands
from harness.common.errors import InputError, Problem

UNHEALTHY = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("up", _up, "create a cluster; no-op if it is already running"),
        ("down", _down, "delete a cluster and all of its files"),
        ("status", _status, "show the state of a cluster"),
        ("kubeconfig", _kubeconfig, "print the path of a cluster's kubeconfig"),
        ("build", _build, "build all components and images in advance, so that the next `up` is fast"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.set_defaults(command=command)
        if name != "build":
            add_name_option(verb)
        if name == "up":
            verb.add_argument("--nodes", type=int, metavar="N", help="number of worker nodes (default: 2)")
        if name == "build":
            verb.add_argument(
                "--from",
                dest="origin",
                choices=["source", "releases"],
                default="source",
                help="releases: download the official release files whose checksums are recorded, and build only the "
                "rest; needs the internet (default: %(default)s)",
            )
            verb.add_argument(
                "--mirror",
                default="",
                metavar="URL",
                help="with --from=releases: a server that has the files at URL/HOST/PATH",
            )


def _up(options: argparse.Namespace) -> int:
    cluster = commands.up(cluster_name(options), options.nodes)
    print(f"{cluster.context} is up: export KUBECONFIG={cluster.kubeconfig}")
    cluster.close()
    return 0


def _down(options: argparse.Namespace) -> int:
    name = cluster_name(options)
    was_there = commands.down(name)
    print(f"cluster {name} deleted" if was_there else f"no cluster {name} found, nothing to delete")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = commands.status(cluster_name(options))
    print("\n".join([f"{status.name}: {status.summary}", *map(str, (*status.nodes, *status.programs))]))
    if others := [name for name in commands.names() if name != status.name]:
        print(f"other local clusters (--name): {', '.join(others)}")
    return 0 if status.healthy else UNHEALTHY


def _kubeconfig(options: argparse.Namespace) -> int:
    print(commands.kubeconfig(cluster_name(options)))
    return 0


def _build(options: argparse.Namespace) -> int:
    if options.mirror and options.origin != "releases":
        raise InputError([Problem("found it without --from=releases, expected both", field="--mirror")])
    built = commands.build(from_releases=options.origin == "releases", mirror=options.mirror)
    print(built.folder)
    return 0
