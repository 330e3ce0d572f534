"""``harness new``: write a first experiment for an application, from its manifests."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.selection import add_cluster_options, given_cluster_options
from harness.common.errors import InputError, Problem

if TYPE_CHECKING:
    from harness.experiment.manifests import Workload
    from harness.experiment.scaffold.compose import Composer
    from harness.experiment.scaffold.draft import Draft
    from harness.experiment.scaffold.subject import Subject

SCHEMA = Path(".schema") / "experiment.json"
RATE = 50
LIVE = "namespace/"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = (
        "Write a first experiment for an application: Service, port, selector, load, objectives and a twin come from "
        "its manifests, and each line is explained. The file passes `harness validate`; no file is overwritten."
    )
    parser.add_argument("name", help="the experiment's name: lower-case letters, digits and hyphens")
    parser.add_argument(
        "--workload",
        required=True,
        metavar="PATH|CHART|namespace/NS",
        help="a folder of manifests, a kustomization, a Helm chart (folder, .tgz or oci://…), builtin/NAME, or "
        "namespace/NS for a copy of what runs there",
    )
    parser.add_argument("--fault", default="podKill", metavar="KIND", help="the fault (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the file to write (default: NAME.yaml in experiments/)"
    )
    parser.add_argument("--service", default="", metavar="NAME[:PORT]", help="the Service that users reach it by")
    parser.add_argument("--target", default="", metavar="KIND/NAME", help="what the fault hits: deployment/shop")
    parser.add_argument("--path", default="/", help="a path that users request (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=RATE, metavar="N", help="requests a second (default: %(default)s)")
    parser.add_argument("--chart-version", default="", metavar="VERSION", help="version of a chart from a registry")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="deploy the workload once under load, lose a pod, and derive the limits from what was measured",
    )
    add_cluster_options(parser)
    parser.set_defaults(command=_new)


def _new(options: argparse.Namespace) -> int:
    from harness.common.project import Project
    from harness.experiment.scaffold.compose import Composer
    from harness.experiment.scaffold.draft import Limits
    from harness.experiment.scaffold.faults import draft
    from harness.experiment.scaffold.subject import find_subject
    from harness.experiment.scaffold.text import Frame

    _check(options)
    source, output = _place(options)
    folder = output.parent
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        live, notes = _live(options)
        composer = Composer(folder, Project.of([Path.cwd()]), live, options.name)
        subject = find_subject(composer.workload(source), options.service, options.target)
        frame = Frame(options.name, source, SCHEMA.as_posix(), options.rate, options.path)
        draft(options.fault, subject, Limits())
        limits = _measured(options, composer, frame, subject) if options.measure else Limits()
        drafted = draft(options.fault, subject, limits)
        if any(subject.workload.beyond_namespace()):
            drafted = replace(drafted, disruptive=True)
        text = composer.text(frame, subject, drafted)
        _write_new(output, text)
    except BaseException:
        # Only the empty folders that this command has made.
        for each in made:
            if each.is_dir() and not any(each.iterdir()):
                each.rmdir()
        raise
    _write_schema(folder / SCHEMA)
    print("\n".join([*notes, *subject.notes, f"wrote {_shown(output)}", *_next(output, options, drafted)]))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise InputError with everything that is wrong with the options themselves."""
    from harness.common.suggestions import one_of
    from harness.experiment.scaffold.faults import DRAFTS

    problems = []
    if not _NAME.fullmatch(options.name):
        expected = "at most 40 lower-case letters, digits and hyphens, with a letter or digit at both ends"
        problems.append(Problem(f"found {options.name!r}, expected {expected}", field="NAME"))
    if options.fault not in DRAFTS:
        found = f"found {options.fault!r}{one_of(options.fault, DRAFTS)}"
        problems.append(Problem(f"{found}; changes on purpose have no draft", field="--fault"))
    if options.rate < 1:
        problems.append(Problem(f"found {options.rate}, expected at least 1", field="--rate"))
    if not re.fullmatch(r"/[!-~]*", options.path):
        expected = "a path such as /cart, with special characters percent-encoded"
        problems.append(Problem(f"found {options.path!r}, expected {expected}", field="--path"))
    if problems:
        raise InputError(problems)


def _place(options: argparse.Namespace) -> tuple[Any, Path]:
    """Return the source of the workload as the experiment has it, and the file to write. Raises InputError."""
    given = options.workload
    if given.startswith(("builtin/", LIVE, "oci://")):
        output = _output(options, Path("experiments"))
        return _remote_source(given, options.chart_version), output
    path = Path(os.path.normpath(Path(given).absolute()))
    if not path.exists():
        raise InputError([Problem(f"found {given!r}, expected a folder of manifests or a chart", field="--workload")])
    if not path.is_dir() and not path.name.endswith((".tgz", ".tar.gz")):
        raise InputError([Problem(f"found the file {given}, expected its folder", field="--workload")])
    kind = _rendered_by(path)
    if kind:
        # Kustomizations and charts may be anywhere in the project.
        output = _output(options, Path("experiments"))
        relative = Path(os.path.relpath(path, output.parent)).as_posix()
        return {"kustomize": relative} if kind == "kustomize" else {"helm": {"chart": relative}}, output
    # The path of a folder never leads out of the experiment's folder, so the file goes beside the folder, or above it.
    root = next((parent for parent in path.parents if parent.name == "experiments"), path.parent)
    output = _output(options, root)
    if not path.is_relative_to(output.parent):
        expected = f"expected one in {_shown(path.parent)} or in a folder above it: paths never lead out of its folder"
        raise InputError([Problem(f"found {options.output}, {expected}", field="--output")])
    relative = path.relative_to(output.parent).as_posix()
    if relative == ".":
        expected = f"expected a file outside of the manifests: --output {_shown(path.parent / options.name)}.yaml"
        raise InputError([Problem(f"found {_shown(output)}, {expected}", field="--output")])
    return relative, output


def _rendered_by(path: Path) -> str:
    """Return which program renders a path to manifests: kustomize, helm, or "" for plain manifests."""
    if (path / "Chart.yaml").is_file() or not path.is_dir():
        return "helm"
    names = ("kustomization.yaml", "kustomization.yml", "Kustomization")
    return "kustomize" if any((path / name).is_file() for name in names) else ""


def _remote_source(given: str, version: str) -> Any:  # noqa: ANN401 - text or an object
    if given.startswith(LIVE):
        return {"copyOf": {"namespace": given.removeprefix(LIVE)}}
    if given.startswith("oci://"):
        return {"helm": {"chart": given, "version": version}}
    return given


def _output(options: argparse.Namespace, folder: Path) -> Path:
    output = (options.output or folder / f"{options.name}.yaml").absolute()
    if os.path.lexists(output):
        raise InputError([Problem(f"found {_shown(output)}, which exists; no file is overwritten", field="--output")])
    if output.suffix not in (".yaml", ".yml"):
        raise InputError([Problem(f"found {_shown(output)}, expected a name that ends with .yaml", field="--output")])
    return output


def _write_new(file: Path, text: str) -> None:
    """Write a file whole, and only if there is none. Raises InputError if there is one by now."""
    whole = file.with_name(f".{file.name}.{os.getpid()}")
    whole.write_text(text, encoding="utf-8")
    try:
        os.link(whole, file)
    except FileExistsError as error:
        raise InputError([Problem("exists by now; no file is overwritten", file)]) from error
    finally:
        whole.unlink()


def _write_schema(file: Path) -> None:
    """Write the JSON Schema for editors, which read it from the path in the first line of an experiment."""
    from harness.experiment.json_schema import experiment_schema

    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(experiment_schema(), indent=1) + "\n", encoding="utf-8")


def _live(options: argparse.Namespace) -> tuple[Workload | None, list[str]]:
    """Return the workload that is read from a cluster, if it is one, and notes about it."""
    if not options.workload.startswith(LIVE):
        return None, []
    from harness.cli.live_source import read_copy

    return read_copy(options, options.workload.removeprefix(LIVE))


def _measured(options: argparse.Namespace, composer: Composer, frame: Any, subject: Subject) -> Any:  # noqa: ANN401
    from harness.cli.measuring import measured_limits

    return measured_limits(options, composer, frame, subject)


def _next(output: Path, options: argparse.Namespace, drafted: Draft) -> list[str]:
    # The cluster that was chosen here: a bare --cluster may choose another one.
    file, cluster = shlex.quote(_shown(output)), shlex.join(given_cluster_options(options))
    cluster = cluster.replace("--cluster=auto", "--cluster", 1)
    allow = " --allow-disruptive" if drafted.disruptive else ""
    return [
        "next:",
        f"  harness validate {file}",
        f"  pytest {cluster} --plan{allow} {file}     # dry run: victims, calls and undo",
        f"  pytest {cluster} --twins{allow} {file}",
    ]


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
