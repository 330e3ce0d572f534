"""Writes docs/reference.md: every kind of fault, objective and probe with its parameters, and the options.

    python -m scripts.reference [FILE]

Each kind has its example as a class attribute.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from harness.engine.options import OPTIONS
from harness.experiment.kinds import Kind, kinds
from harness.experiment.schema_fields import Definitions, SchemaField
from harness.experiment.timing import Timing
from harness.gameday.json_schema import game_day_schema

FILE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
_HEAD = """\
# Faults, objectives, probes and options

Written by `python -m scripts.reference` from the code; do not edit. Every kind is a key in an experiment's list of that
name, with its parameters below it. Durations have a unit (`200ms`, `20s`, `1m30s`), shares are percentages (`99.9%`).
`harness explain KIND` prints the same in a terminal.
"""
_OVERVIEWS = {"faults": "fault", "objectives": "objective", "probes": "probe"}
_GAME_DAYS_HEAD = """\
Fields of a `kind: GameDay` file; see [game days](game-days.md). `harness explain gameday` prints the same."""
_TIMING_HEAD = """\
Keys beside the kind of any fault. Without them a fault is injected when the fault phase begins and undone when it ends.

```yaml
- podKill: {selector: app=podinfo}
  at: 3s
  every: 10s
  times: 3
```"""
_OPTIONS_HEAD = """\
Options of pytest for a run, below "resilience" in `pytest --help`; `harness` commands that use a cluster take those
that select it. The command line comes first, then the environment, then the ini file. `--cluster` has neither: a run
on a cluster is always requested."""


def main(arguments: list[str]) -> int:
    """Write the file."""
    file = Path(arguments[0]) if arguments else FILE
    file.write_text(reference(), encoding="utf-8")
    print(f"wrote {file}")
    return 0


def reference() -> str:
    """Return the text of the file."""
    return "\n".join(
        (
            _HEAD,
            *(_overview(key, about) for key, about in _OVERVIEWS.items()),
            "## Faults\n\nUnder `faults`.\n",
            *_sections("faults"),
            _timing(),
            "## Objectives\n\nUnder `objectives`.\n",
            *_sections("objectives"),
            "## Probes\n\nUnder `probes`: what they record is judged by objectives.\n",
            *_sections("probes"),
            _game_days(),
            f"## Options\n\n{_OPTIONS_HEAD}\n\n" + "\n".join(_options()) + "\n",
        )
    )


def _timing() -> str:
    """Return the section of the keys beside the kind of a fault."""
    rows = _nested(Timing.model_json_schema(by_alias=True))
    return "\n".join(["### When, how often and for how long\n", f"{_TIMING_HEAD}\n", *rows]) + "\n"


def _game_days() -> str:
    """Return the section of the fields of game day files."""
    return "\n".join(["## Game days\n", f"{_GAME_DAYS_HEAD}\n", *_nested(game_day_schema())]) + "\n"


def _nested(schema: Mapping[str, Any]) -> list[str]:
    """Return the table of the fields of a schema, each with those below it."""
    fields = Definitions(schema)
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field in fields.fields(schema):
        rows.append(_row(field, field.name))
        inner = fields.fields(field.node)
        rows += [_row(each, f"{field.name}.{each.name}") for each in inner]
    return rows


def _row(field: SchemaField, name: str) -> str:
    cells = (f"`{name}`", field.type, "required" if field.required else _code(field.default), field.about)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _overview(key: str, about: str) -> str:
    """Return the table of all kinds of a list, each with its summary and a link to its section."""
    rows = [
        f"| [`{kind.name}`](#{kind.name.lower()}{_again(kind)}) | {_cell(kind.summary)} |"
        for kind in kinds(key)
        if kind.is_built_in
    ]
    return "\n".join([f"| {about} | |", "|---|---|", *rows]) + "\n"


def _again(kind: Kind) -> str:
    """Return what renderers append to the anchor of a heading that occurs a second time."""
    return "-1" if kind.list == "probes" and any(each.name == kind.name for each in kinds("objectives")) else ""


def _options() -> Iterator[str]:
    """Yield the table of the options of a run."""
    yield "| option | environment | ini file | default | meaning |"
    yield "|---|---|---|---|---|"
    for option in OPTIONS:
        written = option.command_line if option.flag else f"{option.command_line}={option.metavar}"
        cells = (f"`{written}`", f"`{option.variable}`", f"`{option.ini}`", _code(option.default), _cell(option.help))
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sections(key: str) -> Iterator[str]:
    """Yield a section for each kind of this package, without those that other installed packages add."""
    yield from (_section(kind) for kind in kinds(key) if kind.is_built_in)


def _section(kind: Kind) -> str:
    written = yaml.safe_dump(dict(kind.example or {}), default_flow_style=True, sort_keys=False, width=1000).strip()
    table = "\n".join(_table(kind.model)) or "No parameters."
    blocks = [f"### `{kind.name}`", kind.about, kind.facts, f"```yaml\n- {kind.name}: {written}\n```", table]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema(by_alias=True)
    rows = [
        (f"`{field.name}`", field.type, "required" if field.required else _code(field.default), field.about)
        for field in Definitions(schema).fields(schema)
    ]
    if rows:
        yield "| parameter | type | default | meaning |"
        yield "|---|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
