"""``harness explain``: what a kind or a field of an experiment means, as `kubectl explain` does for objects."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.experiment.explanation import Explanation
    from harness.experiment.schema_fields import SchemaField

WIDTH = 100
MOST_FILES = 8
GAME_DAY = "gameday"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = (
        "Explain a kind, a parameter or a field of an experiment file, for example podKill, podKill.count, "
        "probes.identity, experiment.phases or experiment.load.rate; or of a game day file, for example gameday.budget."
    )
    parser.add_argument("what", help="KIND, KIND.PARAMETER, experiment.FIELD or gameday.FIELD")
    parser.set_defaults(command=_explain)


def _explain(options: argparse.Namespace) -> int:
    from harness.experiment.explanation import explain, explain_field

    words = [word for word in options.what.split(".") if word]
    if words[:1] == [GAME_DAY]:
        from harness.gameday.json_schema import game_day_schema

        print(_text(explain_field(game_day_schema(), words[1:], GAME_DAY, "gameday: a game day file")))
        return 0
    print("\n\n".join(_text(found) for found in explain(options.what)))
    return 0


def _text(found: Explanation) -> str:
    from harness.common.project import Project
    from harness.experiment.usage import experiments_with

    blocks = [found.title]
    if found.type:
        blocks.append("\n".join(f"{name:8} {text}" for name, text in found.properties))
    blocks += [_wrapped(text, "") for text in found.about.split("\n\n") if text]
    if found.example:
        blocks.append(f"Example:\n  {found.example}")
    if found.fields:
        blocks.append("\n".join(["Fields:", *(line for field in found.fields for line in _field(field))]))
    if found.steps:
        blocks.append(_files(experiments_with(found.steps, Project.of([Path.cwd()]))))
    return "\n\n".join(blocks)


def _field(field: SchemaField) -> list[str]:
    default = f", default {field.default}" if field.default not in ("", '""') else ""
    more = ", required" if field.required else default
    return [f"  {field.name}: {field.type}{more}", _wrapped(field.about, "      ")]


def _files(files: Sequence[Path]) -> str:
    if not files:
        return "Used by no experiment here."
    here = Path.cwd()
    shown = [str(file.relative_to(here) if file.is_relative_to(here) else file) for file in files[:MOST_FILES]]
    more = [f"and {len(files) - MOST_FILES} more"] if len(files) > MOST_FILES else []
    return "\n  ".join(["Used by:", *shown, *more])


def _wrapped(text: str, indent: str) -> str:
    import textwrap

    return textwrap.fill(" ".join(text.split()), WIDTH, initial_indent=indent, subsequent_indent=indent)
