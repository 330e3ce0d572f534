"""Linearizability, held against a checker that tries every order, and against histories from papers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.histories import linearizability
from harness.histories.linearizability import Step, TooManyConfigurations, violation
from harness.model.history import KINDS, OUTCOMES
from harness.model.operation import NOTHING, Operation
from tests.unit.histories.brute_force import linearizable


def steps(operations: Sequence[Operation]) -> list[Step]:
    return [
        Step(
            KINDS.index(one.kind),
            one.value,
            one.expected,
            OUTCOMES.index(one.outcome),
            one.invoked,
            one.completed,
            number,
        )
        for number, one in enumerate(operations)
    ]


def write(value: int, start: float, end: float = math.inf, outcome: str = "ok") -> Operation:
    return Operation(0, start, end, "write", "x", value, outcome=outcome if end < math.inf else "unknown")


def read(value: int, start: float, end: float) -> Operation:
    return Operation(0, start, end, "read", "x", value)


def cas(expected: int, value: int, start: float, end: float = math.inf) -> Operation:
    return Operation(0, start, end, "cas", "x", value, expected, "ok" if end < math.inf else "unknown")


@st.composite
def histories(draw: st.DrawFn, most: int = 7, values: int = 3) -> list[Operation]:
    """Few values and few instants, so that operations overlap, coincide and write the same value."""
    made = []
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, 9))
        end = start + draw(st.integers(0, 5))
        kind = draw(st.sampled_from(["read", "read", "write", "write", "cas"]))
        outcome = draw(st.sampled_from(["ok", "ok", "ok", "unknown", "failed"]))
        value = draw(st.integers(NOTHING if kind == "read" else 0, values))
        expected = draw(st.integers(NOTHING, values)) if kind == "cas" else NOTHING
        ended = math.inf if outcome == "unknown" else float(end)
        made.append(Operation(0, float(start), ended, kind, "x", value, expected, outcome))
    return made


@st.composite
def explained(draw: st.DrawFn) -> list[Operation]:
    """Operations around instants at which a real register did them, one of them perhaps with a wrong value."""
    now, made = NOTHING, []
    for number in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["read", "read", "write", "cas"]))
        start = number - draw(st.floats(0, 3))
        end = number + draw(st.floats(0, 3))
        unknown = kind != "read" and draw(st.integers(0, 4)) == 0
        if unknown and draw(st.booleans()):
            made.append(Operation(0, start, math.inf, "write", "x", number, outcome="unknown"))
            continue
        value = now if kind == "read" else number
        made.append(
            Operation(
                0,
                start,
                math.inf if unknown else end,
                kind,
                "x",
                value,
                now if kind == "cas" else NOTHING,
                "unknown" if unknown else "ok",
            )
        )
        now = value
    return made


@settings(max_examples=100, deadline=None)
@given(histories())
def test_any_history_is_judged_as_by_brute_force(operations: list[Operation]) -> None:
    assert (violation(steps(operations)) is None) == linearizable(operations)


@settings(max_examples=100, deadline=None)
@given(histories(most=7, values=40))
def test_histories_of_unique_values_agree(operations: list[Operation]) -> None:
    assert (violation(steps(operations)) is None) == linearizable(operations)


@settings(max_examples=100, deadline=None)
@given(explained())
def test_what_a_register_did_is_linearizable(operations: list[Operation]) -> None:
    assert violation(steps(operations)) is None


@settings(max_examples=100, deadline=None)
@given(explained(), st.integers(0, 7), st.integers(NOTHING, 8))
def test_one_changed_value_is_judged_the_same(operations: list[Operation], index: int, value: int) -> None:
    one = operations[index % len(operations)]
    changed = Operation(
        one.client, one.invoked, one.completed, one.kind, one.key, max(value, 0), one.expected, one.outcome
    )
    operations[index % len(operations)] = changed
    assert (violation(steps(operations)) is None) == linearizable(operations)


# Histories of registers in Herlihy and Wing (1990), figure 1 and 2, as registers, and of known faults of databases.
GOOD = {
    "one after another": [write(1, 0, 1), read(1, 2, 3)],
    "read during the write sees the old value": [write(1, 0, 1), write(2, 2, 5), read(1, 3, 4)],
    "overlapping writes may be in any order": [write(1, 0, 5), write(2, 1, 4), read(1, 6, 7)],
    "old, then new, during one write": [write(1, 0, 1), write(2, 2, 9), read(1, 3, 4), read(2, 5, 6)],
    "unknown write took effect late": [write(1, 0, 1), write(2, 2), read(1, 3, 4), read(2, 8, 9)],
    "unknown write never took effect": [write(1, 0, 1), write(2, 2), read(1, 8, 9)],
    "unknown swap took effect": [write(1, 0, 1), cas(1, 2, 2), read(2, 8, 9)],
    "failed write has no effect": [write(1, 0, 1), write(2, 2, 3, "failed"), read(1, 4, 5)],
    "same instant is no order": [write(1, 0, 2), read(NOTHING, 2, 3)],
}
BAD = {
    "stale read": ([write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)], 2),
    "lost write": ([write(1, 0, 1), read(NOTHING, 2, 3)], 1),
    "new, then old, during one write": ([write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)], 3),
    "read of a value before its write": ([read(1, 0, 1), write(1, 2, 3)], 0),
    "two swaps from the same value": ([write(1, 0, 1), cas(1, 2, 2, 5), cas(1, 3, 3, 6)], 2),
    "unknown write comes and goes": ([write(1, 0, 1), write(2, 2), read(2, 3, 4), read(1, 5, 6)], 3),
    "failed write was read": ([write(1, 0, 1), write(2, 2, 3, "failed"), read(2, 4, 5)], 2),
    "two readers see two orders": (
        [write(1, 0, 9), write(2, 0, 9), read(1, 1, 2), read(2, 3, 4), read(1, 5, 6)],
        4,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history_has_no_violation(name: str) -> None:
    assert linearizable(GOOD[name])
    assert violation(steps(GOOD[name])) is None


@pytest.mark.parametrize("name", BAD)
def test_bad_history_names_the_operation(name: str) -> None:
    operations, index = BAD[name]
    assert not linearizable(operations)
    assert violation(steps(operations)) == index


def test_thirty_writes_at_once_are_no_problem() -> None:
    many = [write(number, 0, 10 + number / 100) for number in range(30)]
    swaps = [cas(number, 100 + number, 0, 10.5) for number in range(4)]
    assert violation(steps([*many, *swaps, read(29, 11, 12)])) is None
    assert violation(steps([*many, *swaps, read(29, 11, 12), read(28, 13, 14)])) is not None


def test_hundreds_of_unknown_writes_are_no_problem() -> None:
    unknown = [write(number, number / 100) for number in range(500)]
    assert violation(steps([*unknown, read(400, 5, 6), read(3, 7, 8)])) is None
    assert violation(steps([*unknown, read(400, 5, 6), read(3, 7, 8), read(400, 9, 10)])) is not None


def test_too_much_freedom_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizability, "MOST", 50)
    # Compare-and-swap of the same values over and over: none of the reductions applies.
    swaps = [cas(a % 2, 1 - a % 2, 0, 10) for a in range(40)]
    with pytest.raises(TooManyConfigurations):
        violation(steps([write(0, 0, 1), *swaps, read(50, 11, 12)]))
