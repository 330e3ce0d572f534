"""The command line beside pytest: clusters of ours, checking experiment files, rendering stored runs, schemas."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import __version__, cli_calibrate, cli_compare, cli_safety, cli_sweep
from harness.cluster.local import commands
from harness.errors import HarnessError, InputError, Problem
from harness.items import experiment_files
from harness.loading import load_experiment
from harness.openslo import import_openslo
from harness.reporting.markdown import render_markdown
from harness.reporting.plain import harmless
from harness.reporting.publish import write_report
from harness.reporting.schema import results_schema
from harness.reporting.store import load
from harness.schemas import experiment_schema
from harness.sources import Sources

FAILED = 1
BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 it failed, 2 the input is wrong."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except InputError as error:
        print(harmless(str(error)), file=sys.stderr)
        return BAD_INPUT
    except HarnessError as error:
        print(harmless(f"{type(error).__name__}: {error}"), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="harness", description=__doc__)
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    _cluster_parser(verbs.add_parser("cluster", help="local clusters: a real Kubernetes without Docker"))
    validate = verbs.add_parser("validate", help="check experiment files without touching a cluster")
    validate.add_argument("paths", nargs="*", type=Path, default=[Path("experiments")], help="files or folders")
    validate.set_defaults(command=_validate)
    report = verbs.add_parser("report", help="render a stored run again")
    report.add_argument("run", type=Path, help="the run's folder, reports/<run-id>")
    report.add_argument("--markdown", action="store_true", help="print a summary in Markdown instead")
    report.set_defaults(command=_report)
    cli_safety.add_parsers(verbs)
    cli_calibrate.add_parser(verbs)
    cli_sweep.add_parsers(verbs)
    cli_compare.add_parsers(verbs)
    importing = verbs.add_parser("import", help="turn SLOs of another format into objectives, printed as YAML")
    importing.add_argument("format", choices=["openslo"])
    importing.add_argument("files", nargs="+", type=Path, help="SLOs, and the SLIs and data sources they refer to")
    importing.set_defaults(command=_import)
    schema = verbs.add_parser("schema", help="print a JSON Schema")
    schema.add_argument("of", choices=["experiment", "results"])
    schema.set_defaults(command=_schema)
    return parser


def _cluster_parser(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("up", _up, "make a cluster, or leave it be when it is up"),
        ("down", _down, "take a cluster away with everything that belongs to it"),
        ("status", _status, "tell how a cluster is"),
        ("kubeconfig", _kubeconfig, "print the path of a cluster's kubeconfig"),
        ("build", _build, "build all components and images, so that the next up is quick"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.set_defaults(command=command)
        if name != "build":
            verb.add_argument("--name", default=commands.DEFAULT_NAME, help="the cluster's name (%(default)s)")
        if name == "up":
            verb.add_argument("--nodes", type=int, metavar="N", help="worker nodes (2)")


def _up(options: argparse.Namespace) -> int:
    cluster = commands.up(options.name, options.nodes)
    print(f"{cluster.context} is up: export KUBECONFIG={cluster.kubeconfig}")
    cluster.close()
    return 0


def _down(options: argparse.Namespace) -> int:
    was_there = commands.down(options.name)
    print(f"{options.name} is gone" if was_there else f"there was nothing of a cluster {options.name}")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = commands.status(options.name)
    print("\n".join([f"{status.name}: {status.summary}", *map(str, (*status.nodes, *status.programs))]))
    return 0 if status.healthy else FAILED


def _kubeconfig(options: argparse.Namespace) -> int:
    print(commands.kubeconfig(options.name))
    return 0


def _build(_options: argparse.Namespace) -> int:
    print(commands.build().folder)
    return 0


def _validate(options: argparse.Namespace) -> int:
    sources = Sources.for_root(Path.cwd())
    files = [file for path in options.paths for file in experiment_files(path)]
    problems: list[Problem] = []
    for file in files:
        try:
            load_experiment(file, sources)
        except InputError as error:
            problems += error.problems
    problems += [Problem("holds no experiment files", path) for path in options.paths if not experiment_files(path)]
    if problems:
        raise InputError(problems)
    print(f"{len(files)} experiment files are well-formed")
    return 0


def _report(options: argparse.Namespace) -> int:
    run = load(options.run)
    if options.markdown:
        print(render_markdown(run))
        return 0
    print(write_report(options.run, run))
    return 0


def _import(options: argparse.Namespace) -> int:
    print(import_openslo(options.files).text(), end="")
    return 0


def _schema(options: argparse.Namespace) -> int:
    schema = experiment_schema() if options.of == "experiment" else results_schema()
    print(json.dumps(schema, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
