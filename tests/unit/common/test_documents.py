"""YAML as data: every mistake with its line, nothing that runs, nothing that grows without bound."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import BaseModel, Field, ValidationError

from harness.common.documents import (
    MAX_BYTES,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_PROBLEMS,
    load_document,
    load_documents,
    show_place,
)
from harness.common.errors import InputError

FILE = Path("some.yaml")


def problems(text: str) -> list[str]:
    """What is wrong with a text, without the file's name."""
    with pytest.raises(InputError) as caught:
        load_documents(FILE, text)
    return [str(problem).removeprefix("some.yaml") for problem in caught.value.problems]


def test_every_field_has_its_line() -> None:
    document = load_document(FILE, "a: 1\nb:\n  - c: 2\n  - d:\n      e: 3\n")
    assert document.data == {"a": 1, "b": [{"c": 2}, {"d": {"e": 3}}]}
    assert [document.line(place) for place in (("a",), ("b", 0, "c"), ("b", 1, "d", "e"))] == [1, 3, 5]
    assert document.line(("b", 1, "d", "missing", "too")) == 4


def test_all_duplicate_keys_are_refused_with_both_lines() -> None:
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


def test_dates_stay_text_for_kubernetes() -> None:
    document = load_document(FILE, "at: 2026-01-02T03:04:05Z\nday: 2026-01-02\nequals: =\n")
    assert document.data == {"at": "2026-01-02T03:04:05Z", "day": "2026-01-02", "equals": "="}


def test_aliases_that_unfold_without_end_are_refused() -> None:
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert problems(laughs) == [f": unfolds to more than {MAX_NODES} values"]
    assert problems("a: &a [*a]\n") == [f":1: nested deeper than {MAX_DEPTH} levels"]


@pytest.mark.parametrize("text", ["[" * 1200, "{a: " * 1200, "- " * 1200])
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested deeper than" in problems(text)[0]


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1\nb: 2\n", 2), ("a: 1\n b: 2\n", 2), ("a\tb: 1: 2\n", 1), ("a: 1\nb: !!map x\n", 2)]
)
def test_invalid_yaml_is_reported_with_its_line(text: str, line: int) -> None:
    assert problems(text)[0].startswith(f":{line}: not valid YAML: ")


# Nine times the last one, again and again.
LAUGHS = "&a0 [x, x], " + ", ".join(f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"? [{LAUGHS}]\n: 1\n", ":1: found a list as a key, expected text"),
        ("? {a: 1}\n: 2\n", ":1: found a mapping as a key, expected text"),
        (f"a: 1\n? {'k' * 1025}\n: 2\n", ":2: found a key of 1025 characters, expected at most 1024"),
        ("!!binary aGk=: 1\n", ":1: aGk=: found the tag tag:yaml.org,2002:binary of a key, expected none"),
        (f"a: 0x{'f' * 9000}\n", ":1: a: found a number of 9002 characters, expected at most 100"),
        (f"a: {'1' * 600}1.0\n", ":1: a: found a number of 603 characters, expected at most 100"),
        (f"a: {'1_' * 50000}1\n", ":1: a: found a number of 100001 characters, expected at most 100"),
        ("a:\n  b: !!bool perhaps\n", ":2: not valid YAML: found 'perhaps', which is not of type bool"),
        ("a: !!int ''\n", ":1: not valid YAML: found '', which is not of type int"),
        ('a: "\\ud800"\n', ":1: a: found half of a character (U+D800 to U+DFFF), expected text"),
        ('a: "\\ude00\\ud83d"\n', ":1: a: found half of a character (U+D800 to U+DFFF), expected text"),
        ('a: "\\ud83d\\ud83d\\ude00"\n', ":1: a: found half of a character (U+D800 to U+DFFF), expected text"),
        ('"\\ud800": {a: 1, a: 2}\n', ":1: found half of a character (U+D800 to U+DFFF), expected text"),
        ('a: "\\UFFFFFFFF"\n', ": not valid YAML: "),
        ("a: \0\n", ":1: not valid YAML: "),
        ("a: &a {<<: *a}\n", f":1: nested deeper than {MAX_DEPTH} levels"),
        (f"a: &a {'x' * 990_000}\nb: [{'*a, ' * 30}]\n", f": unfolds to more than {MAX_CHARACTERS} characters"),
        (
            f"---\na: &a [x, x, x]\nb: &b [{'*a, ' * 90}]\nc: [*b, *b]\n" * 600,
            f": unfolds to more than {MAX_NODES} values",
        ),
    ],
)
def test_hostile_yaml_is_refused_in_one_line(text: str, what: str) -> None:
    assert problems(text)[0].startswith(what)


def test_characters_that_json_escapes_in_two_halves_are_one() -> None:
    data = {"a": "so \U0001f600\U0010ffff", "\U0001f680": ["\U00010000"]}
    document = load_document(FILE, json.dumps(data))
    assert document.data == data
    assert document.lines["\U0001f680", 0] == 1


def test_number_of_reported_problems_is_limited() -> None:
    """Each names its place: a long one would fill the memory."""
    assert len(problems(f"{'k' * 1000}: {{{'a: 1, ' * 9000}}}\n")) == MAX_PROBLEMS


def test_keys_are_text_as_kubernetes_reads_them() -> None:
    """Numbers could be chosen so that they all have one hash."""
    assert load_document(FILE, "1: a\n0x10: b\non: c\n'no': d\nx: {<<: {2: e}}\n").data == {
        "1": "a",
        "16": "b",
        "true": "c",
        "no": "d",
        "x": {"2": "e"},
    }
    assert problems("1: a\n0x1: b\n") == [":2: 1: duplicate key, first given in line 1"]


@pytest.mark.parametrize("key", ["~", "1.5", ".inf"])
def test_keys_without_a_text_are_refused(key: str) -> None:
    assert "expected text: write it in quotes" in problems(f"{key}: a\n")[0]


def work(text: str) -> int:
    """How many calls it takes to make data or a problem of a text."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with suppress(InputError):
            load_documents(FILE, text)
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize(
    "grows",
    [
        lambda n: "[" * n,
        lambda n: "? " * n,
        lambda n: "- " * n,
        lambda n: "[[[[[[[[[[" + "[a, b], " * n,
        lambda n: "---\n" * n,
        lambda n: "a: &a [*a]\n---\n" * n,
        lambda n: "".join(f"k{i}: &a{i} {{<<: {{x: 1}}}}\n" for i in range(n)),
        lambda n: "x: &x {a: 1}\ny: {<<: [" + "*x, " * n + "]}\n",
        lambda n: "&a " * n,
        lambda n: "!a!b " * n,
        lambda n: f"a: {'1:' * n}1\n",
        lambda n: f"a: {'x' * n}\n",
        lambda n: f"a: '{' x' * n}'\n",
        lambda n: "a: |\n" + "  x\n" * n,
        lambda n: "%TAG !a! b\n" * n + "--- a\n",
        lambda n: "{" + "a: 1, " * n + "}\n",
        lambda n: "".join(f"a{i}: 1\n" for i in range(n)),
        lambda n: f"a: &a0 [x, x]\n? [{', '.join(f'&a{i} [*a{i - 1}, *a{i - 1}]' for i in range(1, n))}]\n: 1\n",
    ],
)
def test_the_work_grows_no_faster_than_the_text(grows: Callable[[int], str]) -> None:
    """Counted in calls, so that it says the same on any machine."""
    work(grows(300))
    assert work(grows(1200)) < 5 * work(grows(300))


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
        with pytest.raises(InputError, match="not a regular file"):
            load_document(tmp_path / name)


def test_places_are_shown_as_people_write_them() -> None:
    assert show_place(("faults", 0, "podKill", "selector")) == "faults[0].podKill.selector"


@settings(max_examples=60, deadline=None)
@given(
    some.text(alphabet=some.sampled_from("ab01:-[]{}&*!|>'\"#%,? \n\t=<~\\xuU.eé\x00"), max_size=60).map(str.encode)
    | some.binary(max_size=60)
)
def test_any_bytes_are_data_or_a_problem(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing but InputError ever comes out, and all data can be sent to an API server."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content)
    found: list[object] = []
    with suppress(InputError):
        found = [document.data for document in load_documents(file)]
    json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: 1\nb: caf\xe9\n", ":2: cannot be read: found the byte 0xe9, expected utf-8 text"),
        (b"\xff\xfea\x00\n\x00b", ":2: cannot be read: found the byte 0x62, expected utf-16-le text"),
        (b"a: 1\nb: \x00\n", ":2: not valid YAML: found the character U+0000, expected printable text"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "some.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_document(file)
    assert [str(each) for each in caught.value.problems] == [f"{file}{problem}"]


def test_missing_file_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_document(tmp_path / "gone.yaml")
    assert str(caught.value.problems[0]) == f"{tmp_path}/gone.yaml: cannot be read: No such file or directory"


class Sizes(BaseModel):
    mapping: dict[str, int] = Field(default={"a": 1}, min_length=1)
    words: frozenset[Literal["a", "b"]] = Field(default=frozenset("a"), min_length=1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mapping: {}", ":1: mapping: found {}, expected a mapping with at least 1 key"),
        ("words: []", ":1: words: found [], expected a list of at least 1"),
        ("words: [c]", ":1: words[0]: found 'c', expected 'a' or 'b'"),
    ],
)
def test_too_few_items_are_one_problem(text: str, problem: str) -> None:
    document = load_document(FILE, text)
    with pytest.raises(ValidationError) as caught:
        Sizes.model_validate(document.data)
    assert [str(each) for each in document.problems(caught.value)] == [f"some.yaml{problem}"]
