"""docs/reference.md lists every kind and parameter, as the code has them."""

from __future__ import annotations

import difflib

from harness.experiment import registry
from scripts.reference import FILE, reference


def test_reference_is_current() -> None:
    found, expected = FILE.read_text(encoding="utf-8").splitlines(), reference().splitlines()
    changes = "\n".join(difflib.unified_diff(found, expected, "docs/reference.md", "the code", n=0, lineterm=""))
    assert not changes, f"docs/reference.md is outdated, write it with `python -m scripts.reference`:\n{changes}"


def test_every_parameter_of_a_fault_is_in_it() -> None:
    text = reference()
    for kind, model in registry.faults().items():
        section = text.partition(f"### `{kind}`")[2].partition("\n### ")[0]
        names = {field.alias for field in model.model_fields.values()}
        assert {name for name in names if f"| `{name}` |" not in section} == set(), kind
