"""Sealed plans: the hash is that of the content and the salt, and any change shows."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.common.errors import InputError
from harness.gameday.sealing import new_salt, read_sealed, seal

PLAN = {"start": "2026-11-23T10:17:00.000Z", "turns": ["it's über", "b[twin]"], "victimSeed": 7}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), _JSON, max_size=4))
def test_sealed_plan_is_read_as_it_was_sealed(plan: dict[str, Any]) -> None:
    sealed = seal(plan, new_salt())
    assert read_sealed(sealed.text, sealed.hash) == sealed
    assert sealed.plan == plan
    assert sealed.text.count("\n") == 2
    assert sealed.text.isascii()


def test_order_of_keys_does_not_change_the_hash() -> None:
    assert seal(PLAN, "00").hash == seal(dict(reversed(PLAN.items())), "00").hash


def test_command_prints_the_hash() -> None:
    sealed = seal(PLAN, new_salt())
    printed = subprocess.run(["sh", "-c", sealed.command], capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == sealed.hash


@pytest.mark.parametrize("change", [("7", "8"), ("\n", "\n\n"), ("10:17", "10:18")])
def test_changed_plan_is_refused(change: tuple[str, str]) -> None:
    sealed = seal(PLAN, "00")
    with pytest.raises(InputError, match="the sealed plan was changed"):
        read_sealed(sealed.text.replace(*change, 1), sealed.hash)


def test_other_salt_gives_another_hash() -> None:
    assert new_salt() != new_salt()
    assert not seal(PLAN, "00").matches(seal(PLAN, "01").hash)
