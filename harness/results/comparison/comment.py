"""Output of a comparison as a comment of a pull request: only what changed, and one line if nothing did."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.quantities import counted
from harness.results.comparison.compare import Compared, Standing, attempts_needed
from harness.results.comparison.render import SIGNS, headline, row_of, table_head
from harness.results.reporting.markdown import escaped

# GitHub rejects longer comments.
LONGEST = 65_536
# Space for the line about what was cut.
_RESERVE = 200


def marker(key: str) -> str:
    """Return the hidden first line, by which a job finds its own comment. Several jobs need different keys."""
    return f"<!-- resilience-harness compare {key} -->"


def comment(compared: Compared, key: str = "default", longest: int = LONGEST) -> str:
    """Format as GitHub-flavoured Markdown of at most ``longest`` characters."""
    lines = [marker(key), *_lines(compared)]
    size, kept = 0, list[str]()
    for line in lines:
        size += len(line) + 1
        if size > longest - _RESERVE:
            # A table ends with an empty line.
            kept += [
                "",
                f"… and {counted(len(lines) - len(kept), 'line')} more: the comment would be too long for GitHub.",
            ]
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _lines(compared: Compared) -> Iterator[str]:
    different = [each for each in compared.comparisons if each.standing is not Standing.OPEN]
    moved = bool(compared.only_first or compared.only_second)
    if compared.nothing_in_common:
        yield f"{SIGNS[Standing.OPEN]} Resilience: {headline(compared)}."
        return
    if not (compared.changed or different or moved):
        yield f"{SIGNS[Standing.OPEN]} Resilience: {_unchanged(compared)}."
        return
    worse = compared.regressed or compared.worse
    better = different or compared.changed
    sign = SIGNS[Standing.WORSE if worse else Standing.BETTER if better else Standing.OPEN]
    yield f"### {sign} Resilience: {escaped(_changes(compared))}"
    yield ""
    for changed in sorted(compared.changed, key=lambda each: not each.worse):
        sign = SIGNS[Standing.WORSE if changed.worse else Standing.OPEN]
        yield f"- {sign} **{escaped(changed.experiment)}**: {escaped(changed.before)} → {escaped(changed.after)}"
    yield from (f"- new: {escaped(name)}" for name in compared.only_second)
    yield from (f"- not run any more: {escaped(name)}" for name in compared.only_first)
    if different:
        yield ""
        yield from table_head()
        yield from (row_of(each) for each in different if each.standing is Standing.WORSE)
        yield from (row_of(each) for each in different if each.standing is Standing.BETTER)
    yield ""
    for note in compared.notes:
        yield escaped(note)
    yield escaped(f"{compared.second.run} against {compared.first.run}")


def _unchanged(compared: Compared) -> str:
    """Return the one line for two runs without a difference; single attempts can show none in a measure."""
    same = f"{counted(compared.in_both, 'verdict')} unchanged"
    tested = [min(each.counts) for each in compared.comparisons if each.tested]
    if tested or not compared.comparisons:
        return f"{same}, no measure is distinguishable"
    needed = attempts_needed(len(compared.comparisons), compared.confidence)
    return f"{same}; too few attempts to compare measures ({needed} per run can: --repeat={needed} --repeat-all)"


def _changes(compared: Compared) -> str:
    other = len(compared.changed) - len(compared.regressed)
    parts = [
        f"{counted(len(compared.regressed), 'verdict')} changed for the worse" if compared.regressed else "",
        f"{counted(other, 'other verdict' if compared.regressed else 'verdict')} changed" if other else "",
        f"{counted(len(compared.worse), 'measure')} worse" if compared.worse else "",
        f"{counted(len(compared.better), 'measure')} better" if compared.better else "",
        f"{len(compared.only_second)} new" if compared.only_second else "",
        f"{len(compared.only_first)} not run any more" if compared.only_first else "",
    ]
    return ", ".join(filter(None, parts))
