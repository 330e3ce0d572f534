"""The options that define a schedule, and the values made from them and from the experiments' files."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.common.errors import InputError, Problem

if TYPE_CHECKING:
    from harness.common.documents import Document
    from harness.schedule.values import Values

# Option, field of the values, type, metavar, help.
_FIELDS: tuple[tuple[str, tuple[str, ...], type, str, str], ...] = (
    ("name", ("name",), str, "NAME", "name of the schedule"),
    ("cron", ("schedule",), str, "EXPRESSION", "cron expression, such as '0 3 * * 1-5'"),
    ("time-zone", ("timeZone",), str, "ZONE", "IANA time zone, such as Europe/Berlin (default: Etc/UTC)"),
    ("image", ("image",), str, "REF", "image of the runner: see harness/cluster/runner/Containerfile"),
    ("image-prefix", ("images",), str, "PREFIX", "registry prefix of the harness's images"),
    ("pull-secret", ("pullSecret",), str, "SECRET", "Secret with the credentials for the registry of the image"),
    ("load-from", ("loadFrom",), str, "auto|machine|cluster", "where load is generated (default: cluster)"),
    ("deadline", ("deadlineSeconds",), int, "SECONDS", "stop a run after this time (default: 14400)"),
    ("start-within", ("startWithinSeconds",), int, "SECONDS", "a later start is a missed run (default: 600)"),
    ("size", ("results", "volume", "size"), str, "SIZE", "size of the volume for the reports (default: 1Gi)"),
    ("storage-class", ("results", "volume", "storageClass"), str, "NAME", "storage class of that volume"),
    ("s3-endpoint", ("results", "s3", "endpoint"), str, "URL", "keep the reports in a bucket of this server"),
    ("bucket", ("results", "s3", "bucket"), str, "NAME", "name of the bucket"),
    ("bucket-prefix", ("results", "s3", "prefix"), str, "PREFIX", "start of the objects' names (default: NAME)"),
    ("bucket-secret", ("results", "s3", "secret"), str, "SECRET", "Secret with AWS_ACCESS_KEY_ID and …_SECRET_…"),
    ("region", ("results", "s3", "region"), str, "REGION", "region of the bucket (default: us-east-1)"),
    ("git", ("source", "git", "url"), str, "URL", "clone the project from here, in place of a ConfigMap"),
    ("git-ref", ("source", "git", "ref"), str, "REF", "branch, tag or commit (default: main)"),
    ("git-image", ("source", "git", "image"), str, "REF", "image with sh and git"),
    ("git-secret", ("source", "git", "secret"), str, "SECRET", "Secret with username and password"),
    ("image-folder", ("source", "folder"), str, "DIR", "the project is in this folder of the image"),
)


def add_definition(parser: argparse.ArgumentParser, *, image_required: bool = True) -> None:
    """Add the options that define a schedule."""
    parser.add_argument("paths", nargs="*", type=Path, help="experiment or game day files, or folders of them")
    group = parser.add_argument_group("schedule")
    group.add_argument("--values", type=Path, metavar="FILE", help="a file with values, which options override")
    for name, place, kind, metavar, about in _FIELDS:
        more = " (default: that of the local cluster)" if name == "image" and not image_required else ""
        group.add_argument(f"--{name}", dest=_destination(name), type=kind, metavar=metavar, help=about + more)
        del place
    group.add_argument("--arg", action="append", default=[], metavar="ARGUMENT", help="for pytest: --arg=--twins")
    group.add_argument("--api-port", action="append", type=int, metavar="N", help="port of API servers (443, 6443)")
    group.add_argument("--port", action="append", type=int, metavar="N", help="further port outside of the cluster")
    group.add_argument("--no-network-policy", action="store_true", help="make no NetworkPolicy")
    group.add_argument("--residue", action="store_true", help="also allow a check for leftovers outside of namespaces")
    for name in ("Prometheus", "Alertmanager"):
        about = f"{name} that is queried through the API server"
        group.add_argument(f"--{name.lower()}", default="", metavar="NAMESPACE/SERVICE:PORT", help=about)


def values_of(options: argparse.Namespace, now: float, image: str = "") -> tuple[Values, tuple[str, ...]]:
    """Return the values, and the resources whose plural is guessed. Raises InputError with all problems.

    ``image`` is used if none is given; ``now`` is in Unix seconds.
    """
    from harness.schedule.bundle import located, project_root
    from harness.schedule.values import read_values

    document = _document(options.values)
    data: dict[str, Any] = dict(document.data) if document else {}
    given = _given(options)
    paths: Sequence[Path] = options.paths or [Path(path) for path in data.get("paths") or ()]
    problems: list[Problem] = []
    if not paths:
        problems.append(Problem("found no paths, expected experiment or game day files, or folders", field="PATHS"))
    data = _merged(data, given)
    if image:
        data.setdefault("image", image)
    root = project_root(paths) if paths else Path.cwd()
    try:
        data["paths"] = located(paths, root) if paths else ["."]
        data["rules"], data["roles"], data["files"] = [], {}, []
        values = read_values(data, now, document if not given else None)
    except InputError as error:
        raise InputError([*problems, *map(_by_option, error.problems)]) from error
    if problems:
        raise InputError(problems)
    return _filled(values, options, paths, root)


def _filled(
    values: Values, options: argparse.Namespace, paths: Sequence[Path], root: Path
) -> tuple[Values, tuple[str, ...]]:
    """Return the values with the permissions and files that the experiments need."""
    from harness.cluster.kube.roles import proxy_rule
    from harness.schedule.bundle import bundle
    from harness.schedule.rbac import needed_for_files

    needed = needed_for_files(paths, values.load_from, with_residue=options.residue)
    roles = needed.roles()
    for option, text in (("--prometheus", options.prometheus), ("--alertmanager", options.alertmanager)):
        if text and not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+:[a-z0-9-]+", text):
            what = f"found {text!r}, expected NAMESPACE/SERVICE:PORT, such as monitoring/prometheus:9090"
            raise InputError([Problem(what, field=option)])
        if text:
            namespace, _, service = text.partition("/")
            roles[namespace] = [*roles.get(namespace, []), proxy_rule(service)]
    files = bundle(root, needed.experiments, needed.days) if values.source.is_config_map else []
    found = values.model_copy(update={"rules": needed.rules(), "roles": roles, "files": files})
    return found, needed.guesses


def _document(file: Path | None) -> Document | None:
    from harness.common.documents import load_document

    if file is None:
        return None
    document = load_document(file)
    if not isinstance(document.data, dict):
        raise InputError([Problem(f"found {type(document.data).__name__}, expected a mapping of values", file)])
    return document


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that were given."""
    found: dict[str, Any] = {}
    for name, place, *_ in _FIELDS:
        value = getattr(options, _destination(name))
        if value is not None:
            inner = found
            for key in place[:-1]:
                inner = inner.setdefault(key, {})
            inner[place[-1]] = value
    ports = (("apiPorts", options.api_port), ("ports", options.port))
    network: dict[str, Any] = {key: value for key, value in ports if value}
    if options.no_network_policy:
        network["enabled"] = False
    return found | ({"network": network} if network else {}) | ({"arguments": options.arg} if options.arg else {})


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return merged


def _by_option(problem: Problem) -> Problem:
    """Return a problem of a value with the option that gave it."""
    if problem.file:
        return problem
    for name, place, *_ in _FIELDS:
        if problem.field == ".".join(place):
            return Problem(problem.message.replace("Field required", "is missing"), field=f"--{name}")
    return problem


def _destination(name: str) -> str:
    # Apart from the cluster's own options: --images is one of both.
    return f"{name.replace('-', '_')}" if name in {"image", "values"} else f"schedule_{name.replace('-', '_')}"
