"""YAML scalars as Kubernetes reads them: a table, and its comparison with the real kubectl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as some

from harness.common.documents import load_documents
from harness.common.errors import InputError
from tests import kubectl

# What stands after the colon, and what Kubernetes makes of it.
TABLE: dict[str, Any] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE", "!!bool yes"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    # Sexagesimal numbers and dates are YAML 1.1; Kubernetes leaves them as they are.
    **{text: text for text in ["18:30", "1:30:00", "2026-01-02", "2026-01-02T03:04:05Z", "10m", "5Gi", "50%", "tRUE"]},
    **{text: text for text in ["nUll", "1.2.3", "_1", "0x", "0o8", "1e", "-a", "+", ".", "._5", ".e3", "=", "<<"]},
    **{text: text for text in ["1e400", "0x1FFFFFFFFFFFFFFFFF", "inf", "NaN", "0x1p2", "+y"]},
    **dict.fromkeys(["0644", "0o644", "0O644", "+0644", "06_44"], 420),
    "08": 8,
    "09.5": 9.5,
    "0b11": 3,
    "-0b11": -3,
    "0b-1": -1,
    "0x1F": 31,
    "+0x1f": 31,
    "0x_1F": 31,
    "+1": 1,
    "-0": 0,
    "-0.0": 0,
    "1_000": 1000,
    "1__0_": 10,
    "1e3": 1000,
    "1E+3": 1000,
    "1e-3": 0.001,
    "1.0": 1,
    "1.": 1,
    "1.10": 1.1,
    ".5": 0.5,
    "-.5": -0.5,
    ".5_0": 0.5,
    ".5e3": 500,
    "9223372036854775807": 2**63 - 1,
    "9223372036854775808": 2.0**63,
    "18446744073709551616": 2.0**64,
    "0xFFFFFFFFFFFFFFFF": 2.0**64,
    "1152921504606846976.0": 1152921504606847000,
    "1e21": 1e21,
    "'5'": "5",
    '"on"': "on",
    "! 5": "5",
    "!!str 5": "5",
    "!!int '5'": 5,
    "!!float 0x1F": 31,
}
REFUSED = [".inf", "-.Inf", ".nan", "!!int 1.5", "!!bool perhaps", "!!null x", "!!int ''"]
HEAD = "apiVersion: example.org/v1\nkind: Any\nmetadata: {name: x}\n"


def read(text: str) -> Any:
    """What our loader makes of a value."""
    (document,) = load_documents(Path("some.yaml"), f"{HEAD}value: {text}\n")
    return document.data["value"]


@pytest.mark.parametrize("text", TABLE)
def test_scalar_is_read_as_kubernetes_reads_it(text: str) -> None:
    found = read(text)
    assert (type(found), found) == (type(TABLE[text]), TABLE[text])


@pytest.mark.parametrize("text", REFUSED)
def test_scalar_that_json_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"some\.yaml:4: .*found"):
        read(text)


def test_table_is_what_kubectl_reads(tmp_path: Path) -> None:
    kubectl.required()
    file = tmp_path / "all.yaml"
    file.write_text(HEAD + "values:\n" + "".join(f"- {text}\n" for text in TABLE))
    ((found,), error) = kubectl.read(file)
    assert not error
    assert [same(value) for value in found["values"]] == [same(value) for value in TABLE.values()]


@pytest.mark.parametrize("text", REFUSED)
def test_refused_scalars_are_refused_by_kubectl(text: str, tmp_path: Path) -> None:
    kubectl.required()
    (tmp_path / "some.yaml").write_text(f"{HEAD}value: {text}\n")
    assert kubectl.read(tmp_path / "some.yaml")[1]


@pytest.mark.parametrize("text", ["-0.0", "+1E18", "1000000.0", "1e6", "1.5", "1.0", "!!float 1", "~"])
def test_key_with_an_ambiguous_text_is_refused(text: str) -> None:
    assert is_refused(text, key=True)


def test_keys_are_what_kubectl_reads(tmp_path: Path) -> None:
    kubectl.required()
    keys = [key for key in TABLE if not key.startswith("!!") and not is_refused(key, key=True)]
    for number, key in enumerate(keys):
        (tmp_path / f"{number:03}.yaml").write_text(f"{HEAD}keys: {{{key}: 1}}\n")
    theirs, error = kubectl.read(tmp_path)
    assert not error
    assert [list(found["keys"]) for found in theirs] == [[read_key(key)] for key in keys]


WORDS = some.text(alphabet="01278abeEfnoxyXOBs_+-.:~", min_size=1, max_size=7)


@settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(some.lists(WORDS, min_size=30, max_size=60))
def test_any_scalar_is_what_kubectl_reads(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    """Values and keys: many at once, since each needs a process."""
    kubectl.required()
    taken = [word for word in words if not is_refused(word)]
    keys = {read_key(word): word for word in taken if not is_refused(word, key=True)}
    text = HEAD + "".join(f"- {word}\n" for word in ["values:", *taken])[2:]
    text += "keys:\n" + "".join(f"  {word}: 1\n" for word in keys.values())
    file = tmp_path_factory.getbasetemp() / "scalars.yaml"
    file.write_text(text)
    theirs, error = kubectl.read(file)
    assert not error
    (ours,) = (document.data for document in load_documents(file))
    assert [same(value) for value in ours["values"]] == [same(value) for value in theirs[0]["values"]]
    assert ours["keys"] == theirs[0]["keys"]


def is_refused(word: str, *, key: bool = False) -> bool:
    """Whether our loader refuses it as a value or as a key."""
    try:
        load_documents(Path("some.yaml"), f"{word}: 1\n" if key else f"a:\n- {word}\n")
    except InputError:
        return True
    return False


def read_key(word: str) -> str:
    (document,) = load_documents(Path("some.yaml"), f"{word}: 1\n")
    return str(next(iter(document.data)))


def same(value: Any) -> str:
    """A value to compare: numbers by their value, all else with its type."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(float(value)) if number else json.dumps(value)
