"""Names of tests are short and in plain English, so that a list of failures reads as a list of broken behaviours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_words import MARKERS

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 60
WORDS = "tests/contract/test_words.py"


def names() -> Iterator[tuple[str, str]]:
    """Yield ``file:line`` and the name of every test function."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.name


def dialect(name: str) -> str:
    """Return the first dialect word in a name, or an empty text."""
    found = MARKERS.search(name.replace("_", " "))
    return found[0] if found else ""


def too_long(place: str, name: str) -> str:
    return f"{place}: {name}: found {len(name)} characters, expected at most {LONGEST}"


def not_plain(place: str, name: str) -> str:
    return f"{place}: {name}: found '{dialect(name)}', expected plain words (list: MARKERS in {WORDS})"


def test_test_names_are_short() -> None:
    found = [too_long(place, name) for place, name in names() if len(name) > LONGEST]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_test_names_contain_no_dialect() -> None:
    found = [not_plain(place, name) for place, name in names() if dialect(name)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_dialect_in_a_name_is_found() -> None:
    assert dialect("test_what_came_to_nothing") == "came to nothing"
    message = "a.py:1: test_what_came_to_nothing: found 'came to nothing', expected plain words (list: MARKERS in "
    assert not_plain("a.py:1", "test_what_came_to_nothing").startswith(message)
    assert dialect("test_inconclusive_attempts_are_left_out") == ""
