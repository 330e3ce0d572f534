"""The map is true: what the documents name is there, and every module says what it is for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Written by builds and runs, so not there in a fresh clone.
MADE = ("reports/",)
NAMED = re.compile(
    r"(?<![\w/.$~-])((?:harness|tests|scripts|experiments|loadprofiles)/[\w./-]*[\w/]|[\w-]+\.(?:md|toml|lock))"
)


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "README.md", "SECURITY.md"])
def test_every_path_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    # A reader's own first experiment does not exist yet.
    text = re.sub(r"experiments/(workloads/shop|shop-)[\w./-]*", "", text)
    named = {found for found in NAMED.findall(text) if not found.startswith(MADE) and found != "summary.md"}
    assert len(named) > 2
    assert {path for path in named if not (ROOT / path).exists()} == set()


MODULES = sorted(path for path in (ROOT / "harness").rglob("*.py") if path.read_text().strip())


def test_every_module_says_what_it_is_for() -> None:
    assert [path.name for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_module_has_outgrown_its_noun() -> None:
    assert {
        path.name: len(path.read_text().splitlines()) for path in MODULES if len(path.read_text().splitlines()) > 320
    } == {}
