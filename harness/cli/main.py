"""Manage local clusters, check experiment files, run safety commands, render and compare stored runs."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import __version__
from harness.common.errors import HarnessError, InputError
from harness.common.excerpts import with_excerpts
from harness.results.reporting.plain import harmless

FAILED = 1
BAD_INPUT = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A command. ``options`` is ``module:function``; the function adds the options and the ``command`` to a parser.

    Named and not imported: a command imports only what it needs, so that `harness --help` and completion are quick.
    """

    name: str
    help: str
    options: str

    def load(self) -> Callable[[argparse.ArgumentParser], None]:
        """Import the command and return the function that adds its options."""
        module, _, function = self.options.partition(":")
        found: Callable[[argparse.ArgumentParser], None] = getattr(importlib.import_module(module), function)
        return found


COMMANDS = (
    Command("cluster", "manage local clusters: a real Kubernetes without Docker", "harness.cli.cluster:add_options"),
    Command("image", "load, list, remove and build images for local clusters", "harness.cli.image:add_options"),
    Command("validate", "check experiment files without connecting to a cluster", "harness.cli.validate:add_options"),
    Command("new", "write a first experiment for an application", "harness.cli.new:add_options"),
    Command("list", "list faults, objectives, probes, load profiles or workloads", "harness.cli.listing:add_options"),
    Command("explain", "explain a kind or a field of an experiment file", "harness.cli.explain:add_options"),
    Command("report", "render the report of a stored run again", "harness.cli.report:add_options"),
    Command("halt", "stop all runs on a cluster now and block new ones", "harness.cli.safety:add_halt_options"),
    Command("gameday", "enter when an outage of a game day was detected", "harness.cli.gameday:add_options"),
    Command("rbac", "print the minimal RBAC Roles that experiments need", "harness.cli.safety:add_rbac_options"),
    Command(
        "calibrate",
        "measure the error of the recovery clocks with outages of known length",
        "harness.cli.calibrate:add_options",
    ),
    Command("sweep", "undo the leftovers of dead runs in a cluster", "harness.cli.sweep:add_options"),
    Command(
        "janitor",
        "print the manifests of a CronJob that sweeps the cluster it runs in",
        "harness.cli.sweep:add_janitor_options",
    ),
    Command(
        "schedule",
        "run experiments and game days on a schedule, by a CronJob in the cluster",
        "harness.cli.schedule:add_options",
    ),
    Command(
        "compare",
        "compare two stored runs: better, worse or no significant difference",
        "harness.cli.compare:add_options",
    ),
    Command(
        "import",
        "convert SLOs of another format to objectives and print them as YAML",
        "harness.cli.importing:add_options",
    ),
    Command(
        "dashboard",
        "print a Grafana dashboard of the runs",
        "harness.cli.monitoring:add_dashboard_options",
    ),
    Command("alerts", "print Prometheus rules that watch the runs", "harness.cli.monitoring:add_alert_options"),
    Command("schema", "print a JSON Schema", "harness.cli.schema:add_options"),
    Command("completion", "print the completion script of a shell", "harness.cli.completion:add_options"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: success, 1: the command failed, 2: invalid input, 130: interrupted, 141: the reader closed standard output.
    """
    words = sys.argv[1:] if arguments is None else arguments
    options = parser(next((word for word in words if not word.startswith("-")), "")).parse_args(words)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        # Without this flush, Python reports a closed pipe only while it exits, as a traceback.
        sys.stdout.flush()
    # Before OSError, which is its base class.
    except BrokenPipeError:
        return _closed_output()
    except OSError as error:
        print(harmless(_system_error(error)), file=sys.stderr)
        return FAILED
    except InputError as error:
        print(harmless(with_excerpts(error)), file=sys.stderr)
        return BAD_INPUT
    except HarnessError as error:
        print(harmless(f"{type(error).__name__}: {error}"), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        # 128 + SIGINT, as shells report a command that was interrupted.
        return 130
    return code


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands; with ``only``, the options of the other commands are left out."""
    made = argparse.ArgumentParser(prog="harness", description=__doc__)
    made.add_argument("--version", action="version", version=f"harness {__version__}")
    verbs = made.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        verb = verbs.add_parser(command.name, help=command.help)
        if only in (None, command.name):
            command.load()(verb)
    return made


def _closed_output() -> int:
    """Return the exit code for a closed standard output, for example by ``head -1``: not an error of the command."""
    # Python flushes standard output again at exit; redirect the rest of the buffer to the null device.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _system_error(error: OSError) -> str:
    """Return the text of an operating system error, with the file it concerns."""
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else f"{type(error).__name__}: {what}"
