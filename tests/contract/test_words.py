"""The product speaks plain English: few words of the project's old private dialect are left, and no new ones come."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Words and turns that read as a dialect: personification, vague persons, archaic turns. Standard terms are in the
# glossary of CONTRIBUTING.md.
MARKERS = re.compile(
    r"""\b(?:
        told|tells?|telling|knows?|knew|says?|said|saying|hears?|heard|wish(?:es|ed)?|forgiv\w+|cares?
        |somebody|nobody|anybody|everybody|whoever|whom|whomever
        |of\s(?:its|their|his|one's|your|our)\sown|of\s(?:ours|theirs|yours|his|others)|own\swords
        |tak(?:e|es|en|ing)\sback|took\sback|put(?:s|ting)?\sright
        |c[ao]mes?\sto\snothing|as\sit\smust|comes?\sof\sit|what\s(?:comes|becomes|came|became)\sof
        |anew|noughts?|lets?\sgo|letting\sgo|as\sgood\sas|not\sfor\s(?:us|it)
        |(?:go|goes|gone|went|going|do|does|did)\swithout
        |(?:for|to|of|by|in|with|from|at|on)\swhich
        |ask(?:s|ed)?\s(?:for|of|about)|(?:is|are|was|were|been)\sasked
        |passed\sover|under\sway|in\svain|at\shand|in\swords|long\sago
        |(?:is|are|was|were|been)\smeant|means?\sto|meant\sto
        |bit(?:es|e|ing)?(?=\s(?:its|the|on|where|when)\b)
        |residue|besides|stands?\s(?:in|for|by|beside|there|here)|mere(?:ly)?|thereby|whereby|wherein|hence
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
PER_1000_LINES = 3.0


def dialect(paths: list[Path]) -> tuple[list[str], int]:
    """Return every marked line as ``file:line: words``, and the number of lines read."""
    found, lines = [], 0
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            lines += 1
            words = [match[0] for match in MARKERS.finditer(line)]
            found += [f"{path.relative_to(ROOT)}:{number}: {word}" for word in words]
    return found, lines


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def sources() -> list[Path]:
    harness = ROOT / "harness"
    return [path for kind in ("*.py", "*.html", "*.schema.json") for path in harness.rglob(kind)]


@pytest.mark.parametrize("paths", [sources(), documents()], ids=["sources", "documents"])
def test_few_dialect_words_remain(paths: list[Path]) -> None:
    found, lines = dialect(sorted(paths))
    assert len(found) * 1000 / lines <= PER_1000_LINES, "\n".join(found)


def test_dialect_word_is_found() -> None:
    assert [match[0] for match in MARKERS.finditer("Nobody is told what came to nothing.")] == [
        "Nobody",
        "told",
        "came to nothing",
    ]
