"""The run as Markdown for a CI system's job summary: the overview, and why what did not pass did not."""

from __future__ import annotations

import re

from harness.record import ExperimentRecord, RunRecord
from harness.reporting import figures, overview, stopwatch
from harness.reporting.plain import one_line
from harness.verdict import Verdict

SIGNS = {Verdict.HELD: "✅", Verdict.INCONCLUSIVE: "❔", Verdict.BROKEN: "❌"}
# Character references are text to every Markdown dialect, also within tables, and notify or link nobody.
_SPECIAL = re.compile(r"[\\`*_{}\[\]()#!|<>&~@$]|:(?=//)")


def render_markdown(run: RunRecord) -> str:
    """The run as GitHub-flavoured Markdown; whatever a cluster or a user named is shown as plain text."""
    verdict = overview.run_verdict(run)
    parts = [f"## {SIGNS[verdict]} {verdict}\n\n{overview.headline(run)}\n"]
    records = [record for family in overview.families(run) for record in family.members]
    if records:
        clocks = " | ".join(name.capitalize() for name in overview.CLOCKS)
        columns = 3 + len(overview.CLOCKS)
        parts.append(f"\n| Verdict | Experiment | {clocks} | Tightest objective |\n|{' --- |' * columns}\n")
        parts.extend(_row(record) for record in records)
    failed = [record for record in records if not record.passed]
    if failed:
        parts.append("\n### What did not pass\n\n")
        parts.extend(f"- **{_name(record)}**: {escaped(overview.reason(record))}\n" for record in failed)
    parts.append(f"\n{_place(run)}\n")
    parts.append(f"\n{escaped(stopwatch.line(run.environment))}\n" if records else "")
    return "".join(parts)


def _row(record: ExperimentRecord) -> str:
    sign, said = SIGNS[overview.contribution(record)], overview.verdict_text(record)
    recovered = [overview.clock_text(record, name) or "–" for name in overview.CLOCKS]
    return f"| {' | '.join([f'{sign} {said}', _name(record), *recovered, _tightest(record)])} |\n"


def _name(record: ExperimentRecord) -> str:
    return escaped(f"{record.name}, twin {record.twin}" if record.twin else record.name)


def _tightest(record: ExperimentRecord) -> str:
    objective = overview.tightest(record.objectives)
    return escaped(overview.finding_text(objective)) if objective else "–"


def _place(run: RunRecord) -> str:
    place = run.environment
    where = f", {place.context}, Kubernetes {place.kubernetes}, {len(place.nodes)} nodes" if place else ""
    return escaped(f"Run {run.run}, {figures.moment(run.started)}, seed {run.seed}{where}")


def escaped(text: str) -> str:
    """Anybody's text as plain text of one line."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", one_line(text))
