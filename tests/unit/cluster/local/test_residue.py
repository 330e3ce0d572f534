"""The comparison that proves that nothing was left behind."""

from dataclasses import fields, replace

import pytest

from harness.cluster.local.residue import Machine

EMPTY: frozenset[str] = frozenset()
CLEAN = Machine(EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY)


@pytest.mark.parametrize("kind", [field.name for field in fields(Machine)])
def test_whatever_is_left_is_named_with_its_kind(kind: str) -> None:
    later = replace(CLEAN, **{kind: frozenset({"left"})})
    assert later.since(CLEAN) == [f"{kind}: left"]


def test_what_was_there_before_or_is_gone_is_no_residue() -> None:
    before = replace(CLEAN, links=frozenset({"eth0", "old"}))
    assert replace(CLEAN, links=frozenset({"eth0"})).since(before) == []
