"""The report: one HTML file that opens offline, needs no script, and prints.

Everything that comes from a cluster is a stranger's text: templates escape by default, curves are escaped by
construction (``svg``), links lead only into the run's folder, and the page forbids itself to load or run anything.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.record import ExperimentRecord, RunRecord
from harness.reporting import figures, overview, stopwatch
from harness.reporting.frame import zero_of
from harness.reporting.panels import panels
from harness.reporting.store import slug

TEMPLATES = Path(__file__).with_name("templates")
EVENTS_SHOWN = 15
FAILING_SHOWN = 8


def render(run: RunRecord) -> str:
    """The report of a run as one self-contained HTML document."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        figures=figures,
        overview=overview,
        stopwatch=stopwatch,
        panels=panels,
        zero_of=zero_of,
        anchor=slug,
        link=_link,
        wall=_wall,
        parameters=_parameters,
        css=_css(),
        events_shown=EVENTS_SHOWN,
    )
    families = overview.families(run)
    failing = [record for family in families for record in family.members if not record.passed]
    return environment.get_template("report.html").render(
        run=run, families=families, failing=failing[:FAILING_SHOWN], more=max(0, len(failing) - FAILING_SHOWN)
    )


def _css() -> Markup:
    text = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return Markup(re.sub(r"/\*.*?\*/|\n\s*", " ", text, flags=re.DOTALL))  # noqa: S704 - a file of this package


def _link(path: str) -> str:
    """A relative link into the run's folder, or nothing for a path that would lead anywhere else."""
    pure = PurePosixPath(path)
    inside = path and not pure.is_absolute() and ".." not in pure.parts and ":" not in path and "\\" not in path
    return quote(path) if inside else ""


def _wall(record: ExperimentRecord, at: float) -> str:
    """The time of day of a timeline instant, in UTC; empty when the origin is not known."""
    try:
        origin = datetime.fromisoformat(record.origin).timestamp()
        return datetime.fromtimestamp(origin + at, UTC).strftime("%H:%M:%S.%f")[:-5]
    except (ValueError, OverflowError):
        return ""


def _parameters(parameters: dict[str, object]) -> str:
    """A fault's parameters as one line: ``count 1, selector app=podinfo``."""
    shown = {key: _parameter(value) for key, value in parameters.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items() if value)


def _parameter(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
