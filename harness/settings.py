"""What the user chose, from the command line, the environment and the ini file, in that order of precedence."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster.local.commands import DEFAULT_NAME
from harness.errors import InputError, Problem
from harness.prometheus_access import SECRET_VARIABLES, PrometheusAccess, prometheus_access
from harness.repeats import Repeats, repeats

ENVIRONMENT_PREFIX = "RESILIENCE_"
# Where the local cluster keeps what it builds and what it runs: variables of its own, not options of a session.
OTHER_VARIABLES = frozenset({"RESILIENCE_CACHE", "RESILIENCE_STATE"})
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


class Keep(StrEnum):
    """Whether what an experiment made in the cluster stays after it."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``--name`` on the command line, ``RESILIENCE_NAME`` and ``resilience_name`` in the ini file."""

    name: str
    help: str
    default: str = ""
    flag: bool = False
    metavar: str = "VALUE"

    @property
    def command_line(self) -> str:
        return f"--{self.name}"

    @property
    def destination(self) -> str:
        return "resilience_" + self.name.replace("-", "_")

    @property
    def ini(self) -> str:
        return "resilience_" + self.name.removeprefix("cluster-").removeprefix("resilience-").replace("-", "_")

    @property
    def variable(self) -> str:
        return self.ini.upper()


OPTIONS = (
    Option("kubeconfig", "kubeconfig file (default: the client's own)", metavar="FILE"),
    Option("cluster-context", "the context that `current` means (default: the kubeconfig's own)", metavar="CONTEXT"),
    Option(
        "cluster-allow", "contexts that may be broken besides kind-* and local-*, comma separated", metavar="CONTEXTS"
    ),
    Option("cluster-as", "act as this user, such as system:serviceaccount:NAMESPACE:NAME", metavar="USER"),
    Option("cluster-name", "name of a local or kind cluster of ours", default=DEFAULT_NAME, metavar="NAME"),
    Option("cluster-namespace", "what the names of experiments' namespaces begin with", default="rh", metavar="PREFIX"),
    Option("cluster-nodes", "worker nodes of a cluster that is made for the run", default="2", metavar="N"),
    Option("cluster-keep", "keep clusters and namespaces made for the run: never, on-failure, always", default="never"),
    Option("cluster-strict", "fail, not skip, what the cluster cannot do", flag=True),
    Option("kind-image", "node image of a kind cluster made for the run (default: kind's own)", metavar="IMAGE"),
    Option("images", "registry prefix where a cluster not of ours finds the harness's images", metavar="PREFIX"),
    Option("prometheus-url", "Prometheus to read from (default: the cluster's own)", metavar="URL"),
    Option("prometheus-token-file", "file with the bearer token for it", metavar="FILE"),
    Option("prometheus-user", "user for it; the password stands in a file or the environment", metavar="NAME"),
    Option("prometheus-password-file", "file with that user's password", metavar="FILE"),
    Option("prometheus-ca", "certificates of those who may sign for it", metavar="FILE"),
    Option("prometheus-tenant", "the tenant to ask for (X-Scope-OrgID, as Mimir takes it)", metavar="NAME"),
    Option("prometheus-headers-file", "file with further headers for it, one a line", metavar="FILE"),
    Option("calibrate", "measure the stopwatch first where nothing is known of it (a minute and a half)", flag=True),
    Option("report-dir", "folder where runs land", default="reports", metavar="DIR"),
    Option("allow-disruptive", "run experiments marked disruptive: they hit more than their own namespace", flag=True),
    Option("guard", "what may be broken where and when (default: resilience-guard.yaml, if there)", metavar="FILE"),
    Option("plan", "tell what would be hit, by which calls, and what undoes them; change nothing", flag=True),
    Option("halt-file", "file that halts every run here while it exists", default=".resilience-halt", metavar="FILE"),
    Option("wait-for-lock", "seconds to wait for another run to leave the cluster", default="0", metavar="SECONDS"),
    Option("resilience-seed", "seed of every random choice (default: a new one, printed)", metavar="N"),
    Option(
        "repeat",
        "run each experiment of a file up to so many times, until it is clear how it comes out",
        default="1",
        metavar="N",
    ),
    Option("repeat-confidence", "confidence with which repeats decide", default="95%", metavar="SHARE"),
    Option("repeat-all", "make all repeats, also when it is clear: for the distribution", flag=True),
    Option("twins", "run the twins too: broken copies that must come out BROKEN", flag=True),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All choices, checked."""

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
    prometheus_url: str
    prometheus_access: PrometheusAccess
    report_dir: Path
    allow_disruptive: bool
    guard: str
    plan: bool
    halt_file: Path
    seed: int | None
    twins: bool
    repeats: Repeats = field(default_factory=Repeats)
    wait_for_lock: int = 0
    calibrate: bool = False


def resolve(
    cluster: str,
    given: Callable[[str], str | bool | None],
    ini: Callable[[str], str],
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from the command line (``given``, by destination), environment and ini file. Raises InputError."""
    values = {option.name: _value(option, given, ini, environ) for option in OPTIONS}
    problems = _unknown(environ) if cluster else []
    nodes = _whole(values, "cluster-nodes", 1, problems)
    seed = _whole(values, "resilience-seed", 0, problems) if values["resilience-seed"] else None
    wait = _whole(values, "wait-for-lock", 0, problems)
    keep = values["cluster-keep"]
    if keep not in list(Keep):
        problems.append(Problem(f"found {keep!r}, expected one of {', '.join(Keep)}", field="--cluster-keep"))
    for name in ("cluster-name", "cluster-namespace"):
        if not _NAME.fullmatch(values[name]):
            problems.append(
                Problem(f"found {values[name]!r}, expected lower-case letters, digits, -", field=f"--{name}")
            )
    flags = {option.name: _truth(values, option.name, problems) for option in OPTIONS if option.flag}
    repeated = repeats(values, _whole(values, "repeat", 1, problems), flags["repeat-all"], problems)
    _check_url(values["prometheus-url"], problems)
    access = prometheus_access(values, environ, problems)
    if problems:
        raise InputError(problems)
    return Settings(
        cluster=cluster,
        kubeconfig=Path(values["kubeconfig"]) if values["kubeconfig"] else None,
        allowed=tuple(part.strip() for part in values["cluster-allow"].split(",") if part.strip()),
        context=values["cluster-context"],
        user=values["cluster-as"],
        name=values["cluster-name"],
        namespace=values["cluster-namespace"],
        nodes=nodes,
        keep=Keep(keep),
        strict=flags["cluster-strict"],
        kind_image=values["kind-image"],
        images=values["images"],
        prometheus_url=values["prometheus-url"],
        prometheus_access=access,
        report_dir=Path(values["report-dir"]),
        allow_disruptive=flags["allow-disruptive"],
        guard=values["guard"],
        plan=flags["plan"],
        halt_file=Path(values["halt-file"]),
        seed=seed,
        twins=flags["twins"],
        repeats=repeated,
        wait_for_lock=wait,
        calibrate=flags["calibrate"],
    )


def _value(
    option: Option,
    given: Callable[[str], str | bool | None],
    ini: Callable[[str], str],
    environ: Mapping[str, str],
) -> str:
    chosen = given(option.destination)
    if chosen not in (None, False):
        return str(chosen)
    return environ.get(option.variable) or ini(option.ini) or option.default


def _unknown(environ: Mapping[str, str]) -> list[Problem]:
    known = {option.variable for option in OPTIONS} | OTHER_VARIABLES | SECRET_VARIABLES
    return [
        Problem(f"unknown, expected one of {', '.join(sorted(known))}", field=name)
        for name in sorted(environ)
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known
    ]


def _truth(values: Mapping[str, str], name: str, problems: list[Problem]) -> bool:
    text = values[name].strip().lower()
    if text not in _TRUE | _FALSE:
        problems.append(Problem(f"found {values[name]!r}, expected true or false", field=f"--{name}"))
    return text in _TRUE


def _check_url(text: str, problems: list[Problem]) -> None:
    try:
        parts = urlsplit(text)
        good = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        good = False
    if not good:
        problems.append(Problem(f"found {text!r}, expected an http or https URL", field="--prometheus-url"))


def _whole(values: Mapping[str, str], name: str, least: int, problems: list[Problem]) -> int:
    text = values[name].strip()
    # As many digits as anybody means: Python refuses to convert thousands of them.
    if re.fullmatch(r"[0-9]{1,18}", text) and int(text) >= least:
        return int(text)
    problems.append(Problem(f"found {values[name]!r}, expected a whole number of at least {least}", field=f"--{name}"))
    return least


def without_passwords(text: str) -> str:
    """A command line as it may be kept: what stands before the ``@`` of a URL is left out."""
    return re.sub(r"(://)[^/@\s]+@", r"\1…@", text)
