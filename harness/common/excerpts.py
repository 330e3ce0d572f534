"""Problems shown with the affected line of the file and a caret below the field."""

from __future__ import annotations

import re
from pathlib import Path

from harness.common.errors import InputError, KubeconfigInvalid, Problem
from harness.common.file_text import decode

# A line of a minified file would fill the terminal.
MAX_WIDTH = 100
# The fields of a Secret that hold its content.
_OF_SECRETS = frozenset({"data", "stringData"})


def with_excerpts(error: InputError) -> str:
    """Format every problem, followed by the line's text and a caret.

    Lines of kubeconfigs, of Secrets' data and of credentials are not quoted, since they may contain credentials.
    """
    if isinstance(error, KubeconfigInvalid):
        return str(error)
    texts: dict[Path, list[str]] = {}
    shown = []
    for problem in error.problems:
        excerpt = _excerpt(problem, texts)
        shown.append(f"{problem}\n{excerpt}" if excerpt else str(problem))
    return "\n".join(shown)


def _excerpt(problem: Problem, texts: dict[Path, list[str]]) -> str:
    if problem.file is None or problem.line is None:
        return ""
    if problem.secret or problem.field.partition(".")[0] in _OF_SECRETS:
        return ""
    lines = texts.setdefault(problem.file, _lines(problem.file))
    if not 0 < problem.line <= len(lines):
        return ""
    # A tab becomes one column, so that the caret stays below the field.
    line = lines[problem.line - 1].replace("\t", " ").rstrip()
    start, end = _span(line, problem.field)
    first = max(0, start - MAX_WIDTH // 2) if len(line) > MAX_WIDTH else 0
    place = f"{problem.line}:{start + 1}"
    margin = " " * len(place)
    return (
        f"    {place} | {line[first : first + MAX_WIDTH]}\n"
        f"    {margin} | {' ' * (start - first)}{'^' * max(1, min(end, first + MAX_WIDTH) - start)}"
    )


def _lines(file: Path) -> list[str]:
    try:
        return decode(file.read_bytes()).splitlines()
    except (OSError, ValueError):
        return []


def _span(line: str, field: str) -> tuple[int, int]:
    """Return the columns of the field's key in its line, or those of the line's text if the key is not found."""
    key = re.split(r"[.\[\]]+", field.rstrip("]"))[-1] if field else ""
    found = re.search(rf"(?<![\w-])[\"']?({re.escape(key)})[\"']?\s*:", line) if key else None
    if found:
        return found.span(1)
    start = len(line) - len(line.lstrip(" -"))
    return start, max(start + 1, len(line))
