"""The options for metrics, traces and annotations, and their values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from harness.common.errors import Problem
from harness.common.option_values import one_of, url
from harness.engine.option import Option
from harness.model.trace_context import Traced

GRAFANA_TOKEN = "RESILIENCE_GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
TELEMETRY_SECRETS = frozenset({GRAFANA_TOKEN})

TELEMETRY_OPTIONS = (
    Option(
        "metrics-textfile",
        "write metrics of the run to this .prom file, for the textfile collector of node_exporter",
        metavar="FILE",
        path=True,
    ),
    Option("metrics-pushgateway", "push metrics of the run to this Prometheus Pushgateway", read=url, metavar="URL"),
    Option(
        "otlp",
        "send metrics and spans of the run to this OpenTelemetry endpoint (OTLP over HTTP; extra: otel)",
        read=url,
        metavar="URL",
    ),
    Option(
        "traceparent",
        "whether the load's requests have a W3C traceparent header: sampled, unsampled, off, or auto (sampled with "
        "--otlp, else off)",
        read=one_of("auto", "sampled", "unsampled", "off"),
        default="auto",
        metavar="auto|sampled|unsampled|off",
    ),
    Option(
        "grafana-url",
        f"post annotations of phases and faults to this Grafana; the token is in {GRAFANA_TOKEN} or a file",
        read=url,
        metavar="URL",
    ),
    Option("grafana-token-file", "file with the service account token for Grafana", metavar="FILE", path=True),
)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where metrics, traces and annotations of a run are sent; empty: nowhere.

    URLs may contain a user and a password, so that they are left out of the repr. A token file is read when needed.
    """

    textfile: Path | None = None
    pushgateway: str = field(default="", repr=False)
    otlp: str = field(default="", repr=False)
    traced: Traced = "off"
    grafana: str = field(default="", repr=False)
    grafana_token: str = field(default="", repr=False)
    grafana_token_file: Path | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is sent or written."""
        return bool(self.textfile or self.pushgateway or self.otlp or self.grafana)


def telemetry(texts: Mapping[str, str], environ: Mapping[str, str], problems: list[Problem]) -> Telemetry:
    """Return where to send from the texts of the options. Adds every mistake in them to ``problems``."""
    traced = texts["traceparent"]
    chosen: Traced = "off"
    if traced in {"sampled", "unsampled"}:
        chosen = "unsampled" if traced == "unsampled" else "sampled"
    elif traced == "auto" and texts["otlp"]:
        chosen = "sampled"
    if texts["otlp"] and not _has_otel():
        found = "found a URL, but OpenTelemetry is not installed: pip install 'resilience-harness[otel]'"
        problems.append(Problem(found, field="--otlp"))
    token, file = environ.get(GRAFANA_TOKEN, "").strip(), _token_file(texts, problems)
    if bool(token) and texts["grafana-token-file"]:
        problems.append(
            Problem(f"found both this option and {GRAFANA_TOKEN}, expected one", field="--grafana-token-file")
        )
    if (token or texts["grafana-token-file"]) and not texts["grafana-url"]:
        problems.append(Problem("missing, but a token for Grafana was given", field="--grafana-url"))
    return Telemetry(
        textfile=_textfile(texts["metrics-textfile"], problems),
        pushgateway=texts["metrics-pushgateway"],
        otlp=texts["otlp"],
        traced=chosen,
        grafana=texts["grafana-url"],
        grafana_token=token,
        grafana_token_file=file,
    )


def _has_otel() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def _textfile(text: str, problems: list[Problem]) -> Path | None:
    if not text:
        return None
    file = Path(text)
    if file.suffix != ".prom":
        found = f"found {text!r}, expected a name that ends in .prom: the collector ignores all others"
        problems.append(Problem(found, field="--metrics-textfile"))
    elif not file.parent.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        found = f"found {text!r}, expected a file in an existing folder that can be written to"
        problems.append(Problem(found, field="--metrics-textfile"))
    elif file.is_dir():
        problems.append(Problem(f"found the folder {text!r}, expected a file", field="--metrics-textfile"))
    return file


def _token_file(texts: Mapping[str, str], problems: list[Problem]) -> Path | None:
    if not texts["grafana-token-file"]:
        return None
    file = Path(texts["grafana-token-file"])
    if not file.is_file() or not os.access(file, os.R_OK):
        found = f"found {str(file)!r}, expected an existing file that can be read"
        problems.append(Problem(found, field="--grafana-token-file"))
    return file
