"""YAML as data: every mistake with its line, nothing that runs, nothing that grows without bound."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.documents import MAX_BYTES, MAX_DEPTH, load_document, load_documents, show_place
from harness.errors import InputError

FILE = Path("some.yaml")


def problems(text: str) -> list[str]:
    """What is wrong with a text, without the file's name."""
    with pytest.raises(InputError) as caught:
        load_documents(FILE, text)
    return [str(problem).removeprefix("some.yaml") for problem in caught.value.problems]


def test_every_field_knows_its_line() -> None:
    document = load_document(FILE, "a: 1\nb:\n  - c: 2\n  - d:\n      e: 3\n")
    assert document.data == {"a": 1, "b": [{"c": 2}, {"d": {"e": 3}}]}
    assert [document.line(place) for place in (("a",), ("b", 0, "c"), ("b", 1, "d", "e"))] == [1, 3, 5]
    assert document.line(("b", 1, "d", "missing", "too")) == 4


def test_duplicate_keys_are_refused_all_at_once_with_both_lines() -> None:
    assert problems("a: 1\na: 2\nb:\n  - c: 1\n    c: 2\n") == [
        ":2: a: duplicate key, first given in line 1",
        ":5: b[0].c: duplicate key, first given in line 4",
    ]


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system ['false']", "!!python/name:os.system", "!!binary aGk=", "!mine x", "!!set {a}"],
)
def test_no_tag_is_taken(tag: str) -> None:
    (problem,) = problems(f"a: 1\nb: {tag}\n")
    assert problem.startswith(":2: b: found the tag ")


def test_dates_stay_text_as_kubernetes_takes_them() -> None:
    document = load_document(FILE, "at: 2026-01-02T03:04:05Z\nday: 2026-01-02\nequals: =\n")
    assert document.data == {"at": "2026-01-02T03:04:05Z", "day": "2026-01-02", "equals": "="}


def test_aliases_that_unfold_without_end_are_refused() -> None:
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert problems(laughs) == [": unfolds to more than 100000 values"]
    assert problems("a: &a [*a]\n") == [f":1: nested deeper than {MAX_DEPTH} levels"]


@pytest.mark.parametrize("text", ["[" * 1200, "{a: " * 1200, "- " * 1200])
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested deeper than" in problems(text)[0]


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1\nb: 2\n", 2), ("a: 1\n b: 2\n", 2), ("a\tb: 1: 2\n", 1), ("? {a: 1}\n: 2\n", 1)]
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, line: int) -> None:
    assert problems(text)[0].startswith(f":{line}: not valid YAML: ")


def test_one_document_is_expected() -> None:
    with pytest.raises(InputError, match="found 2 YAML documents, expected one"):
        load_document(FILE, "a: 1\n---\nb: 2\n")
    with pytest.raises(InputError, match="found 0 YAML documents, expected one"):
        load_document(FILE, "---\n# nothing\n")


def test_a_file_that_is_no_text_or_too_large_or_missing(tmp_path: Path) -> None:
    binary, large = tmp_path / "binary.yaml", tmp_path / "large.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    large.write_text("#" * (MAX_BYTES + 1))
    for file, why in ((binary, "cannot be read"), (large, f"larger than {MAX_BYTES}"), (tmp_path / "no", "cannot be")):
        with pytest.raises(InputError, match=why):
            load_document(file)


def test_a_pipe_or_a_device_is_not_read_from(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "link.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "link.yaml"):
        with pytest.raises(InputError, match="no regular file"):
            load_document(tmp_path / name)


def test_places_are_shown_as_people_write_them() -> None:
    assert show_place(("faults", 0, "podKill", "selector")) == "faults[0].podKill.selector"


@settings(max_examples=60, deadline=None)
@given(some.text(alphabet=some.sampled_from("ab01:-[]{}&*!|>'\"#%,? \n\t=<~\\é\x00"), max_size=60))
def test_any_text_is_data_or_a_problem(text: str) -> None:
    """Nothing but InputError ever comes out, and all data can be sent to an API server."""
    found: list[object] = []
    with suppress(InputError):
        found = [document.data for document in load_documents(FILE, text)]
    json.dumps(found)
