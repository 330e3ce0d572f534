"""A run as Markdown, for the job summary of a CI system: the overview, and the reasons of what did not pass."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.quantities import counted
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting import advice, figures, game_day, mutation, overview, response_text, stopwatch
from harness.results.reporting.plain import one_line
from harness.results.reporting.summary import MAX_SKIP_REASON

# Characters of a line. A sealed plan is useless if it is cut.
_LONGEST = 20_000
SIGNS = {Verdict.HELD: "✅", Verdict.INCONCLUSIVE: "❔", Verdict.BROKEN: "❌"}
# Character references are plain text in every Markdown dialect, even within tables, and create no links or mentions.
# GitHub also turns "@name" into a mention, "$…$" into a formula and "https://…" into a link.
_SPECIAL = re.compile(r"[\\`*_{}\[\]()#!|<>&~@$]|:(?=//)")


def render_markdown(run: RunRecord) -> str:
    """Render a run as GitHub-flavoured Markdown; names and messages from clusters and users are escaped."""
    verdict = overview.run_verdict(run)
    parts = [f"## {SIGNS[verdict]} {verdict}\n\n{overview.headline(run)}\n"]
    parts += [f"\n{escaped(sentence)}\n" for sentence in overview.overruled(run)]
    parts += [f"\nWarning: {escaped(warning)}\n" for warning in run.warnings]
    parts += _game_day(run)
    records = [record for family in overview.families(run) for record in family.members]
    if records:
        clocks = " | ".join(name.capitalize() for name in overview.CLOCKS)
        columns = 3 + len(overview.CLOCKS)
        parts.append(f"\n| Verdict | Experiment | {clocks} | Tightest objective |\n|{' --- |' * columns}\n")
        parts.extend(_row(record) for record in records)
    failed = [record for record in records if not record.passed]
    if failed:
        parts.append("\n### What did not pass\n\n")
        for record in failed:
            parts.append(f"- **{_name(record)}**: {escaped(overview.reason(record))}\n")
            parts.extend(f"  - {escaped(advice.line(each), _LONGEST)}\n" for each in record.advice)
    parts += _mutation(run)
    if run.skipped:
        parts.append("\n### Skipped\n\n")
        parts.extend(f"- **{escaped(skip.name)}**: {escaped(skip.reason, MAX_SKIP_REASON)}\n" for skip in run.skipped)
    parts.append(f"\n{_place(run)}\n")
    parts.append(f"\n{escaped(stopwatch.line(run.environment))}\n" if records else "")
    return "".join(parts)


def _game_day(run: RunRecord) -> Iterator[str]:
    day, choice = run.game_day, game_day.choice_of(run)
    if day:
        yield f"\n### Game day {escaped(day.name)}: {SIGNS[day.verdict]} {day.verdict}\n\n{escaped(day.hypothesis)}\n"
        yield f"\n{escaped(day.reason[:1].upper() + day.reason[1:])}.\n"
        yield (
            "\n| Outcome | Experiment | Why it was chosen | Reason |\n| --- | --- | --- | --- |\n" if day.turns else ""
        )
        for turn in day.turns:
            sign = SIGNS[turn.verdict] if turn.verdict else "➖"
            cells = (game_day.turn_name(turn), game_day.why(day, turn), turn.reason)
            shown = [f"{sign} {escaped(game_day.outcome(turn))}", *(escaped(cell) or "–" for cell in cells)]
            yield f"| {' | '.join(shown)} |\n"
        lines = list(response_text.day_lines(day))
        yield "".join(f"\n- {escaped(line, _LONGEST)}" for line in lines) + "\n" * bool(lines)
    if choice and (choice.budget is not None or choice.left_out):
        yield f"\n{escaped(game_day.summary(choice))}\n"
        yield "".join(f"\n- {escaped(f'left out: {each.name}: {each.reason}')}" for each in choice.left_out)
        yield "\n" if choice.left_out else ""


def _mutation(run: RunRecord) -> Iterator[str]:
    if run.mutation is None:
        return
    yield "\n### Mutants\n"
    for mutated in run.mutation.experiments:
        yield f"\n{escaped(mutation.heading(mutated))}\n"
        rows = mutation.rows(mutated)
        yield "\n| Mutant | Outcome | Caught by, or what it means |\n| --- | --- | --- |\n" if rows else ""
        yield from (f"| {' | '.join(map(escaped, row))} |\n" for row in rows)
        lines = mutation.left_out(mutated)
        yield "".join(f"\n- {escaped(line)}" for line in lines) + "\n" * bool(lines)
    unnoticed = mutation.survivors(run.mutation)
    yield "".join(f"\n- {escaped(line)}" for line in unnoticed) + "\n" * bool(unnoticed)
    yield f"\n{escaped(mutation.by_operator(run.mutation))}\n"
    yield f"\n**{escaped(mutation.score_line(run.mutation))}**\n"


def _row(record: ExperimentRecord) -> str:
    sign, verdict = SIGNS[overview.contribution(record)], overview.verdict_text(record)
    recovered = [overview.clock_text(record, name) or "–" for name in overview.CLOCKS]
    return f"| {' | '.join([f'{sign} {verdict}', _name(record), *recovered, _tightest(record)])} |\n"


def _name(record: ExperimentRecord) -> str:
    return escaped(overview.item_name(record))


def _tightest(record: ExperimentRecord) -> str:
    objective = overview.tightest(record.objectives)
    return escaped(overview.finding_text(objective)) if objective else "–"


def _place(run: RunRecord) -> str:
    place = run.environment
    where = f", {place.context}, Kubernetes {place.kubernetes}, {counted(len(place.nodes), 'node')}" if place else ""
    return escaped(f"Run {run.run}, {figures.moment(run.started)}, seed {run.seed}{where}")


def escaped(text: str, limit: int = 300) -> str:
    """Escape untrusted text as one line of plain text, cut at ``limit`` characters."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", one_line(text, limit))
