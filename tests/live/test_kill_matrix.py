"""Hundreds of runs are killed, at every step there is and at random instants, and nothing of them is left.

``pytest --cluster=local tests/live/test_kill_matrix.py -m kill_matrix`` takes about half an hour on two cores;
``KILL_SHARE=0.2`` kills a part of them, ``KILL_TABLE=FOLDER`` keeps the tables.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.cluster.protocol import Cluster
from harness.waiting import wait_until
from tests.live.kill_matrix import Range, Table, draw
from tests.live.killed import CLOCK, FAULTS, NODE_FAULTS, NodeFacts, Traces

pytestmark = [pytest.mark.live, pytest.mark.kill_matrix]

NAME = "selftest-kills"
AT_A_TIME = 12
KILLS_A_SWEEP = 42
SWEEPS_AT_A_TIME = 6
RANDOM_KILLS = 8
SHARE = float(os.environ.get("KILL_SHARE", "1"))
# Sweeps wait for the Lease of a dead run to stand still, and a node may take a while to be Ready again.
BY_ITSELF_SECONDS = 150.0


def test_killed_at_every_step_nothing_is_left_after_a_sweep(cluster: Cluster, tmp_path: Path) -> None:
    before, facts = Traces.of(cluster.api), NodeFacts.of(cluster)
    place, table, begun = Range(cluster, tmp_path, AT_A_TIME), Table(), CLOCK.monotonic()
    kills = draw(place.places(list(FAULTS)), RANDOM_KILLS, SHARE)
    for start in range(0, len(kills), KILLS_A_SWEEP):
        place.kill(kills[start : start + KILLS_A_SWEEP], table)
        table.residue += place.sweep(SWEEPS_AT_A_TIME)
        table.residue += before.left_by(Traces.of(cluster.api)) + facts.changed_by(NodeFacts.of(cluster))
        print(f"{table.kills.total()} of {len(kills)} runs killed, residue: {table.residue}", flush=True)
        _tell("kills", table, begun)
    assert table.residue == []
    # A run that did not come by its place says nothing; it must not be the rule.
    assert len(table.ended) <= 0.05 * len(kills), table.ended


@pytest.fixture
def nobody_s() -> Iterator[LocalCluster]:
    """A cluster on which no run is at work, not even that of these tests: breaking nodes takes it alone."""
    with locked(NAME, _silent, "another run of these tests"):
        commands.down(NAME, _silent)
        with closing(commands.up(NAME, 2, _silent)) as made:
            yield made
        commands.down(NAME, _silent)


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux")
def test_killed_while_a_node_is_broken_the_node_comes_back_by_itself(nobody_s: LocalCluster, tmp_path: Path) -> None:
    """Nobody sweeps here: the dead-man switch does."""
    cluster = nobody_s
    before, facts = Traces.of(cluster.api), NodeFacts.of(cluster)
    # They have the cluster to themselves: one at a time.
    place, table, begun = Range(cluster, tmp_path, 1), Table(), CLOCK.monotonic()
    passed = place.places(list(NODE_FAULTS))
    kills = [kill for kill in draw(passed, 0, 1.0) if kill.place in _while_it_is_broken(passed[kill.kind])]
    left: list[str] = []

    def look() -> tuple[bool | None, str]:
        left[:] = before.left_by(Traces.of(cluster.api)) + facts.changed_by(NodeFacts.of(cluster))
        return (None if left else True), "; ".join(left)

    for kill in kills[: max(1, round(SHARE * len(kills)))]:
        place.kill([kill], table)
        wait_until(f"{kill} to be taken back", look, BY_ITSELF_SECONDS, CLOCK, every=2.0)
        print(f"{kill.kind} killed at {kill.place}: taken back", flush=True)
        _tell("kills-of-node-faults", table, begun)
    assert table.ended == []


def _while_it_is_broken(passed: Sequence[tuple[str, float]]) -> set[str]:
    """The steps from the fault's undo on until it is taken back; before and after there is nothing on a node."""
    places = [place for place, _ in passed]
    between = places[places.index("phase fault:1:begin") + 1 : places.index("phase recovery:1:begin")]
    return {place for place in between if place.startswith(("line", "node", "phase"))}


def _tell(name: str, table: Table, begun: float) -> None:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    seconds = CLOCK.monotonic() - begun
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, "
        f"load {load} at the end: {table.kills.total()} runs killed in {seconds / 60:.0f} min."
    )
    text = "\n".join([head, "", *table.lines(), ""])
    if "KILL_TABLE" in os.environ:
        (Path(os.environ["KILL_TABLE"]) / f"{name}.md").write_text(text)


def _silent(_message: str) -> None:
    """Progress that nobody reads."""
