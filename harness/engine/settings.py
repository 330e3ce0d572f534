"""The settings of a session, from the command line, the environment and the ini file, in this order of precedence."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.cluster.images import HarnessImages
from harness.common.errors import InputError, Problem
from harness.common.option_values import FALSE, TRUE
from harness.common.secret_values import is_named, redacted
from harness.engine.addresses import Addresses, addresses
from harness.engine.option import Option
from harness.engine.options import OPTIONS, Keep
from harness.engine.repeats import Repeats, repeats
from harness.engine.telemetry_options import TELEMETRY_SECRETS, Telemetry, telemetry
from harness.experiment.mutation.operator import Operator
from harness.prometheus.access import SECRET_VARIABLES, PrometheusAccess, prometheus_access

ENVIRONMENT_PREFIX = "RESILIENCE_"
# Variables for the folders of the local cluster, which are not options of a session.
OTHER_VARIABLES = frozenset({"RESILIENCE_CACHE", "RESILIENCE_STATE"})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, validated."""

    cluster: str
    kubeconfig: Path | None
    allowed: tuple[str, ...]
    context: str
    user: str
    name: str
    namespace: str
    nodes: int
    keep: Keep
    strict: bool
    kind_image: str
    images: str
    harness_images: HarnessImages
    load_images: tuple[str, ...]
    prometheus_url: str
    prometheus_access: PrometheusAccess
    report_dir: Path
    allow_disruptive: bool
    guard: Path | None
    plan: bool
    halt_file: Path
    seed: int | None
    twins: bool
    load_from: Literal["auto", "machine", "cluster"] = "auto"
    load_scale: float = 1.0
    runner_image: str = ""
    alertmanager_url: str = ""
    repeats: Repeats = field(default_factory=Repeats)
    wait_for_lock: int = 0
    calibrate: bool = False
    budget: float | None = None
    history: tuple[Path, ...] = ()
    fresh: bool = False
    required: str = ""
    annotations: Literal["auto", "github", "none"] = "auto"
    addresses: Addresses = field(default_factory=Addresses)
    telemetry: Telemetry = field(default_factory=Telemetry)
    mutate: tuple[Operator, ...] = ()
    mutation_score: float | None = None
    mutate_every: bool = False


def resolve(
    cluster: str,
    given: Callable[[str], str | bool | list[str] | None],
    ini: Callable[[str], str],
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings from the command line (``given``, by destination), environment and ini file.

    Raises InputError with all problems."""
    texts = {option.name: _value(option, given, ini, environ) for option in OPTIONS}
    problems = _unknown(environ) if cluster else []
    values: dict[str, Any] = {}
    for option in OPTIONS:
        try:
            values[option.name] = option.read(texts[option.name])
        except ValueError as error:
            found = "a value that is not shown" if option.secret else repr(texts[option.name])
            problems.append(Problem(f"found {found}, expected {error}", field=option.command_line))
    repeated = repeats(texts, values.get("repeat", 1), values.get("repeat-all", False), problems)
    if values.get("mutate") and repeated.at_most > 1:
        why = f"found it with --repeat={repeated.at_most}, expected one of them: a mutant runs once"
        problems.append(Problem(why, field="--mutate"))
    access = prometheus_access(texts, environ, problems)
    # A session without a cluster sends nothing, so that it needs no secrets.
    recipients = addresses(texts, environ, problems) if cluster else Addresses()
    sent = telemetry(texts, environ, problems) if cluster else Telemetry()
    if problems:
        raise InputError(problems)
    return Settings(
        cluster=cluster,
        prometheus_access=access,
        repeats=repeated,
        addresses=recipients,
        telemetry=sent,
        required=_required(texts, environ),
        **{option.sets: values[option.name] for option in OPTIONS if option.sets},
    )


def value_of(
    name: str,
    given: Callable[[str], str | bool | list[str] | None],
    ini: Callable[[str], str],
    environ: Mapping[str, str],
) -> str:
    """Return the value of one option, with the same precedence as ``resolve``."""
    (option,) = (option for option in OPTIONS if option.name == name)
    return _value(option, given, ini, environ)


def _value(
    option: Option,
    given: Callable[[str], str | bool | list[str] | None],
    ini: Callable[[str], str],
    environ: Mapping[str, str],
) -> str:
    chosen = given(option.destination)
    if chosen not in (None, False):
        return option.joined(map(str, chosen)) if isinstance(chosen, list) else str(chosen)
    return environ.get(option.variable) or ini(option.ini) or option.default


def _unknown(environ: Mapping[str, str]) -> list[Problem]:
    known = {option.variable for option in OPTIONS} | OTHER_VARIABLES | SECRET_VARIABLES | TELEMETRY_SECRETS
    return [
        Problem(f"unknown variable, expected one of {', '.join(sorted(known))}", field=name)
        for name in sorted(environ)
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known
    ]


def _required(values: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Return the reason why a session without a cluster is an error; empty if it is none."""
    if values["cluster-required"].strip():
        return "--cluster-required is set" if values["cluster-required"].strip().lower() in TRUE else ""
    return "CI is set" if environ.get("CI", "").strip().lower() not in FALSE else ""


def recorded_command(arguments: Sequence[str]) -> str:
    """Return pytest's command line as it may be stored: without credentials in URLs and values of secret options."""
    secret = {option.command_line for option in OPTIONS if option.secret}
    shown, before = ["pytest"], ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if before in secret:
            shown.append(_named_or_redacted(argument))
        elif equals and name in secret:
            shown.append(f"{name}={_named_or_redacted(value)}")
        else:
            shown.append(argument)
        before = argument
    return without_passwords(" ".join(shown))


def _named_or_redacted(value: str) -> str:
    return value if is_named(value) else redacted(value)


def without_passwords(text: str) -> str:
    """Return a command line without the credentials in its URLs, so that it may be stored."""
    return re.sub(r"(://)[^/@\s]+@", r"\1…@", text)
