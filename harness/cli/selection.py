"""The cluster options that all ``harness`` commands share with the pytest plugin.

Values are read from the command line, ``RESILIENCE_*`` variables and the ini file, in this order of precedence.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.cluster.protocol import Cluster
from harness.common.image_values import image_values
from harness.common.ini_file import ini_values
from harness.common.progress import Progress
from harness.engine.choose_cluster import ClusterRequest, choose
from harness.engine.options import OPTIONS
from harness.engine.settings import Settings, resolve, value_of
from harness.experiment.project_files import ProjectFiles

CLUSTER_OPTIONS = (
    "kubeconfig",
    "cluster-context",
    "cluster-name",
    "cluster-allow",
    "cluster-as",
    "cluster-nodes",
    "kind-image",
    "images",
    "harness-images",
    "load-image",
    "guard",
)


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select a cluster."""
    group = parser.add_argument_group(
        "cluster",
        "The same as for pytest, including RESILIENCE_* variables and ini keys. Default: --cluster=auto.",
    )
    group.add_argument(
        "--cluster",
        nargs="?",
        const="auto",
        default="auto",
        metavar="auto|local|kind|current|in-cluster|CONTEXT",
        help="the cluster to use (default: %(default)s)",
    )
    for option in OPTIONS:
        if option.name in CLUSTER_OPTIONS:
            group.add_argument(
                option.command_line,
                dest=option.destination,
                metavar=option.metavar,
                help=option.help,
                action="append" if option.many else "store",
            )


def given_cluster_options(options: argparse.Namespace) -> list[str]:
    """Return the cluster options that were given, as arguments for pytest: ``--cluster=local``."""
    chosen = ((each, vars(options).get(each.destination)) for each in OPTIONS if each.name in CLUSTER_OPTIONS)
    return [
        f"--cluster={options.cluster}",
        *(
            f"{option.command_line}={value}"
            for option, given in chosen
            if given
            for value in (given if option.many else [given])
        ),
    ]


def load_images(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the user's images from the options, the environment and the ini file."""
    return image_values(value_of("load-image", vars(options).get, ini_values(Path.cwd()), os.environ))


def add_name_option(parser: argparse.ArgumentParser) -> None:
    """Add the option for the name of a local cluster."""
    (option,) = (option for option in OPTIONS if option.name == "cluster-name")
    parser.add_argument(
        "--name", option.command_line, dest=option.destination, metavar=option.metavar, help=option.help
    )


def cluster_name(options: argparse.Namespace) -> str:
    """Return the name of the local cluster that the options select."""
    return value_of("cluster-name", vars(options).get, ini_values(Path.cwd()), os.environ)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings from the options, the environment and the ini file. Raises InputError."""
    return resolve(options.cluster, vars(options).get, ini_values(Path.cwd()), os.environ)


def request_of(settings: Settings, state: Path) -> ClusterRequest:
    """Return the request for the cluster that ``settings`` select, which is created if it does not exist.

    ``state`` is the folder for the files of a created cluster. Raises InputError if the guard file is invalid.
    """
    files = ProjectFiles(Path.cwd(), settings.guard, settings.halt_file)
    return ClusterRequest.of(settings, files.guard().guard.contexts, state)


@contextmanager
def existing_cluster(options: argparse.Namespace, progress: Progress) -> Iterator[Cluster]:
    """Yield the cluster that the options select; it is never created. Raises InputError, ClusterError.

    For commands that inject no faults: a context given by name need not be on the allow-list.
    """
    settings = settings_of(options)
    # Needed only until the cluster is connected: a kubeconfig that is written there is not read again.
    with tempfile.TemporaryDirectory(prefix="resilience-") as folder:
        target = replace(request_of(settings, Path(folder)), make=False, injects=False)
        cluster = choose(target, progress).cluster
    try:
        cluster.api.impersonate(settings.user)
        yield cluster
    finally:
        cluster.close()
