"""The check of whole histories: known good ones have no anomaly, known bad ones are all caught, with the reason."""

from __future__ import annotations

import pytest

from harness.histories.check import check
from harness.model.history import History
from harness.model.operation import NOTHING, Operation


def op(
    kind: str,
    value: int,
    start: float,
    end: float,
    *,
    client: int = 1,
    key: str = "x",
    expected: int = NOTHING,
    outcome: str = "ok",
) -> Operation:
    return Operation(client, start, end, kind, key, value, expected, outcome)


def w(value: int, start: float, end: float, **more: object) -> Operation:
    return op("write", value, start, end, **more)


def r(value: int, start: float, end: float, **more: object) -> Operation:
    return op("read", value, start, end, **more)


def q(value: int, start: float, end: float, **more: object) -> Operation:
    return op("enqueue", value, start, end, **more)


def d(value: int, start: float, end: float, **more: object) -> Operation:
    return op("dequeue", value, start, end, **more)


UNKNOWN = {"outcome": "unknown"}
FAILED = {"outcome": "failed"}
BAD = {
    "lost write": ([w(1, 0, 1), w(2, 2, 3), r(1, 4, 5)], {"lost write": 1, "stale read": 1}),
    "all data lost": ([w(1, 0, 1), r(NOTHING, 2, 3), r(NOTHING, 4, 5)], {"lost write": 1, "stale read": 2}),
    "stale read, which a later one is not": ([w(1, 0, 1), w(2, 2, 3), r(1, 4, 5), r(2, 6, 7)], {"stale read": 1}),
    "swap from an old value": (
        [w(1, 0, 1), w(2, 2, 3), op("cas", 3, 4, 5, expected=1)],
        {"stale read": 1},
    ),
    "value that nobody wrote": ([w(1, 0, 1), r(9, 2, 3)], {"dirty read": 1}),
    "value of a failed write": ([w(1, 0, 1), w(2, 1, 2, **FAILED), r(2, 3, 4)], {"dirty read": 1}),
    "value of a later write": ([r(1, 0, 1), w(1, 2, 3)], {"dirty read": 1}),
    "unknown write comes and goes": (
        [w(1, 0, 1), w(2, 2, 3, client=2, **UNKNOWN), r(2, 4, 5, client=3), r(1, 6, 7, client=4)],
        # Nobody acknowledged it, so it is not lost; but it had taken effect before the first read ended.
        {"stale read": 1},
    ),
    "client sees a newer value, then an older one": (
        [w(1, 0, 1), w(2, 2, 9, client=2), r(2, 3, 4, client=3), r(1, 5, 6, client=3), r(2, 10, 11, client=3)],
        {"non-monotonic read": 1, "stale read": 1},
    ),
    # Only the search finds this one: nothing is certainly older than anything else.
    "two swaps from one value": (
        [w(1, 0, 1), op("cas", 2, 2, 5, expected=1), op("cas", 3, 3, 6, expected=1, client=2)],
        {},
    ),
    "lost message": ([q(1, 0, 1), q(2, 0, 1), d(2, 2, 3), d(NOTHING, 4, 5)], {"lost message": 1}),
    "duplicate message": ([q(1, 0, 1), d(1, 2, 3), d(1, 4, 5, client=2)], {"duplicate message": 1}),
    "message that nobody sent": ([q(1, 0, 1, **FAILED), d(1, 2, 3), d(7, 4, 5)], {"dirty message": 2}),
}
GOOD = {
    "nothing": [],
    "overlapping writes": [w(1, 0, 5), w(2, 1, 4, client=2), r(2, 6, 7), r(2, 8, 9)],
    "swaps": [w(1, 0, 1), op("cas", 2, 2, 3, expected=1), op("cas", 3, 4, 5, expected=1, **FAILED), r(2, 6, 7)],
    "write in doubt is seen": [w(1, 0, 1), w(2, 2, 3, client=2, **UNKNOWN), r(1, 4, 5), r(2, 6, 7)],
    "write in doubt is never seen": [w(1, 0, 1), w(2, 2, 3, client=2, **UNKNOWN), r(1, 4, 5)],
    "other keys": [w(1, 0, 1), r(NOTHING, 2, 3, key="y"), w(1, 4, 5, key="y"), r(1, 6, 7, key="y")],
    "acknowledged and not read again": [w(1, 0, 1), r(1, 2, 3), w(2, 4, 5)],
    "message in the queue at the end": [q(1, 0, 1), q(2, 0, 1), d(2, 2, 3), d(NOTHING, 4, 5, **UNKNOWN)],
    "message that a dequeue in doubt took": [q(1, 0, 1), d(NOTHING, 2, 3, client=2, **UNKNOWN), d(NOTHING, 4, 5)],
    "message in doubt": [q(1, 0, 1, **UNKNOWN), d(NOTHING, 4, 5)],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history_has_no_anomaly(name: str) -> None:
    checked = check(History(GOOD[name]))
    assert checked.anomalies.counts == {}
    assert checked.undecided == []


@pytest.mark.parametrize("name", BAD)
def test_bad_history_has_its_anomalies(name: str) -> None:
    operations, expected = BAD[name]
    counts = dict(check(History(operations)).anomalies.counts)
    registers = operations[0].kind in ("read", "write")
    assert counts.pop("not linearizable", 0) == registers
    assert counts == expected


def test_example_has_the_contradicting_operations() -> None:
    writes = [w(number, number, number + 0.5) for number in range(50)]
    reads = [r(number, number + 0.6, number + 0.7, client=2) for number in range(50)]
    anomalies = check(History([*writes, *reads, r(20, 60, 61, client=3), r(49, 62, 63)])).anomalies
    (stale,) = anomalies.examples("stale read")
    assert [(one.kind, one.value) for one in stale.operations] == [("write", 20), ("write", 49), ("read", 20)]
    (search,) = anomalies.examples("not linearizable")
    assert len(search.operations) == 3
    assert search.operations[-1] == r(20, 60, 61, client=3)
    assert str(stale) == (
        "stale read: client 1 wrote 20 to x from 20.000 to 20.500 s; client 1 wrote 49 to x from 49.000 to 49.500 s; "
        "client 3 read 20 from x from 60.000 to 61.000 s"
    )


def test_swaps_are_part_of_the_smallest_example() -> None:
    chain = [w(0, 0, 0.5), *(op("cas", n, n, n + 0.5, expected=n - 1) for n in range(1, 20)), r(3, 30, 31)]
    (search,) = check(History(chain)).anomalies.examples("not linearizable")
    assert search.operations[-1] == chain[-1]
    assert check(History(search.operations)).anomalies.counts["not linearizable"] == 1


def test_examples_are_few_and_all_are_counted() -> None:
    anomalies = check(History([r(number, number, number + 0.5) for number in range(9)])).anomalies
    assert anomalies.counts["dirty read"] == 9
    assert len(anomalies.examples("dirty read")) == 3
