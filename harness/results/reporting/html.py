"""The report: one HTML file that works offline, without scripts, and can be printed.

All text from a cluster is untrusted: templates escape by default, SVG is escaped by construction (``svg``), links lead
only into the run's folder, and the Content-Security-Policy of the page forbids loading or running anything.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.model.quantities import counted
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting import advice, figures, game_day, mutation, overview, response_text, stopwatch
from harness.results.reporting.frame import zero_of
from harness.results.reporting.panels import panels
from harness.results.reporting.store import slug

TEMPLATES = Path(__file__).with_name("templates")
EVENTS_SHOWN = 15
# More would push the table of all experiments off the first screen.
FAILING_SHOWN = 8


def render(run: RunRecord) -> str:
    """Render the report of a run as a self-contained HTML document."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        # A misspelled name in a template fails the tests; by default Jinja renders it as nothing.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        counted=counted,
        advice_text=advice,
        figures=figures,
        game_days=game_day,
        responses=response_text,
        mutations=mutation,
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
        run=run,
        families=families,
        failing=failing[:FAILING_SHOWN],
        more=max(0, len(failing) - FAILING_SHOWN),
        links={record.id: slug(record) for record in run.experiments if not record.rerun},
    )


def _css() -> Markup:
    text = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return Markup(re.sub(r"/\*.*?\*/|\n\s*", " ", text, flags=re.DOTALL))  # noqa: S704 - a file of this package


def _link(path: str) -> str:
    """Return a relative link into the run's folder, or "" for a path outside of it."""
    pure = PurePosixPath(path)
    # A colon may end a scheme such as "javascript:", and browsers read a backslash as a slash.
    inside = path and not pure.is_absolute() and ".." not in pure.parts and ":" not in path and "\\" not in path
    return quote(path) if inside else ""


def _wall(record: ExperimentRecord, at: float) -> str:
    """Return the time of day (UTC) of an instant on the timeline; "" if the origin is unknown."""
    try:
        origin = datetime.fromisoformat(record.origin).timestamp()
        return datetime.fromtimestamp(origin + at, UTC).strftime("%H:%M:%S.%f")[:-5]
    except (ValueError, OverflowError):
        return ""


def _parameters(parameters: dict[str, object]) -> str:
    """Format a fault's parameters in one line: ``count 1, selector app=podinfo``."""
    shown = {key: _parameter(value) for key, value in parameters.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items() if value)


def _parameter(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
