"""The accuracy benchmark: truths, what tools reported against them, and the rows made of both."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import Sample, reported, rows_of
from benchmarks.known_outages import KnownOutage, replaced_at
from benchmarks.measured import Cost, Measured, tree
from benchmarks.peers.tools import HERE, Tool, pinned
from harness.common.errors import HarnessError

COST = Cost(cpu_s=1.0, peak_mb=50.0, start_s=1.0, ended=9.0)


def event(at: float, kind: str, uid: str, ready: bool | None = None) -> bytes:
    conditions = [] if ready is None else [{"type": "Ready", "status": str(ready)}]
    pod = {"metadata": {"uid": uid}, "status": {"conditions": conditions}}
    return f"{at:.6f} {json.dumps({'type': kind, 'object': pod})}".encode()


def test_pods_are_replaced_once_as_many_others_are_ready() -> None:
    lines = [
        event(1.0, "ADDED", "old-1", ready=True),
        event(1.0, "ADDED", "old-2", ready=True),
        event(2.0, "DELETED", "old-1", ready=True),
        event(2.1, "ADDED", "new-1"),
        event(3.0, "MODIFIED", "new-1", ready=True),
        event(3.5, "MODIFIED", "new-1", ready=False),
        event(4.0, "MODIFIED", "new-2", ready=True),
        event(5.0, "MODIFIED", "new-1", ready=True),
    ]
    assert replaced_at(lines, {"old-1", "old-2"}) == 5.0
    assert replaced_at(lines[:-1], {"old-1", "old-2"}) is None


def test_a_line_that_is_still_being_written_is_no_event_yet() -> None:
    assert replaced_at([event(3.0, "MODIFIED", "new-1", ready=True)[:-5]], {"old-1"}) is None


def test_a_watch_that_ended_has_no_truth() -> None:
    with pytest.raises(HarnessError, match="ended"):
        replaced_at([b'1.0 {"type": "ERROR", "object": {"code": 410}}'], {"old-1"})


@pytest.mark.parametrize(
    ("seen", "known", "expected"),
    [
        ({"seconds": 2.5}, KnownOutage(2.0, since=100.0), 2.5),
        ({"began": 101.0, "ended": 103.0}, KnownOutage(2.0), 2.0),
        ({"began": 101.0, "ended": 103.0}, KnownOutage(2.0, since=100.0), 3.0),
        (None, KnownOutage(2.0), None),
    ],
)
def test_lengths_start_at_the_call_if_its_time_is_recorded(
    seen: dict[str, float] | None, known: KnownOutage, expected: float | None
) -> None:
    assert reported({"pods": seen}, known) == {"pods": expected}


def sample(clock: str, said: float | None) -> Sample:
    return Sample({clock: said}, 2.0, COST, 4.0)


def test_rows_have_errors_both_ways_ratios_and_missed_outages() -> None:
    there = [Tool("harness", lambda _: ()), Tool("peer", lambda _: ())]
    samples = {
        "harness": [sample("user", 2.01), sample("user", 1.99), sample("user", 2.01)],
        "peer": [sample("pods", 1.5), sample("pods", None), sample("pods", 2.3)],
    }
    ours, peer = rows_of("part", there, samples)
    wanted: dict[str, Any] = {"median_error_s": 0.3, "worst_error_s": 0.5, "samples": 3, "missed": 1, "cpu_s": 1.0}
    assert {name: peer[name] for name in wanted} == wanted
    assert (ours["median_error_s"], ours["times_harness"], peer["times_harness"]) == (0.01, 1.0, 30.0)


def test_missing_tool_has_no_numbers() -> None:
    (row,) = rows_of("part", [Tool("peer", None, "cannot be installed: no network")], {"peer": []})
    assert (row["samples"], row["why"], row.get("median_error_s")) == (0, "cannot be installed: no network", None)


def test_a_process_is_measured_from_its_start_to_its_last_line(tmp_path: Path) -> None:
    program = "print('ready'); print('{\"pods\": null}')"
    process = Measured([sys.executable, "-c", program], tmp_path / "log")
    assert process.wait(60.0)
    process.end()
    assert process.answer == {"pods": None}
    assert process.cost.cpu_s > 0
    assert process.cost.start_s > 0


def test_a_tree_is_a_process_with_its_descendants() -> None:
    assert tree(2, {2: 1, 3: 2, 4: 3, 5: 1}) == {2, 3, 4}


@pytest.mark.parametrize("package", ["krkn-lib", "chaostoolkit-kubernetes"])
def test_every_peer_is_pinned(package: str) -> None:
    assert pinned(package, (HERE / f"{package}.txt").read_text())


def test_unpinned_requirement_is_an_error() -> None:
    with pytest.raises(HarnessError, match="krkn-lib is not in"):
        pinned("krkn-lib", "krkn-lib-extras==1.0\n")
