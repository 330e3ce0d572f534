"""Hundreds of runs are killed, at every step there is and at random instants, and nothing of them is left.

``pytest --cluster=local tests/live/test_kill_matrix.py -m kill_matrix`` takes about half an hour on two cores;
``KILL_FAULT=podKill,scale`` kills runs of these faults only, ``KILL_OVER=podKill`` with a fault of that kind in effect
already, ``KILL_SHARE=0.2`` a part of them, and ``KILL_TABLE=FOLDER`` keeps the tables. Faults on nodes have the cluster
to themselves, one run at a time, about a minute each. ``-k switch`` chooses the runs that are killed with their
dead-man switch, and ``KILL_PART=2/5`` the second fifth of the kills of each test.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.cluster.protocol import Cluster
from harness.common.waiting import wait_until
from tests.live.existing_namespaces import States, namespaces_with_a_workload, wait_ready
from tests.live.kill_matrix import Kill, Range, Table, draw, guarded, part_of
from tests.live.killed import CLOCK, FAULTS, LASTING, NODE_FAULTS, NodeFacts, Traces

pytestmark = [pytest.mark.live, pytest.mark.kill_matrix]

NAME = "selftest-kills"
AT_A_TIME = 12
KILLS_A_SWEEP = 42
SWEEPS_AT_A_TIME = 6
# Each needs a namespace with a workload; a namespace is free again after a sweep.
IN_PLACE_AT_ONCE = 12
RANDOM_KILLS = 8
SHARE = float(os.environ.get("KILL_SHARE", "1"))
PART = os.environ.get("KILL_PART", "1/1")
ONLY = os.environ.get("KILL_FAULT", "")
CHOSEN = ONLY.split(",") if ONLY else [*FAULTS, *NODE_FAULTS]
if unknown := {*CHOSEN} - {*FAULTS, *NODE_FAULTS}:
    raise ValueError(f"KILL_FAULT: found {', '.join(unknown)}, expected some of {', '.join(FAULTS | NODE_FAULTS)}")
POD_KINDS, NODE_KINDS = ([kind for kind in table if kind in CHOSEN] for table in (FAULTS, NODE_FAULTS))
IN_PLACE_KINDS = [kind for kind in POD_KINDS if kind not in LASTING]
# Sweeps wait for the Lease of a dead run to stand still, and a node may take a while to be Ready again.
BY_ITSELF_SECONDS = 150.0


@pytest.mark.skipif(not POD_KINDS, reason=f"KILL_FAULT={ONLY} has only faults on nodes")
def test_sweep_leaves_nothing_after_a_kill_at_every_step(cluster: Cluster, tmp_path: Path) -> None:
    before, facts = Traces.of(cluster.api), NodeFacts.of(cluster)
    place, table, begun = Range(cluster, tmp_path, AT_A_TIME), Table(), CLOCK.monotonic()
    kills = part_of(draw(place.places(POD_KINDS), RANDOM_KILLS, SHARE), PART)
    for start in range(0, len(kills), KILLS_A_SWEEP):
        place.kill(kills[start : start + KILLS_A_SWEEP], table)
        table.residue += place.sweep(SWEEPS_AT_A_TIME)
        table.residue += before.left_by(Traces.of(cluster.api)) + facts.changed_by(NodeFacts.of(cluster))
        print(f"{table.kills.total()} of {len(kills)} runs killed, residue: {table.residue}", flush=True)
        _tell("kills", table, begun)
    assert table.residue == []
    # A run that did not come by its place says nothing; it must not be the rule.
    assert len(table.ended) <= 0.05 * len(kills), table.ended


@pytest.mark.skipif(not IN_PLACE_KINDS, reason=f"KILL_FAULT={ONLY} has no fault that existing namespaces permit")
def test_existing_namespace_is_as_before_after_every_kill(cluster: Cluster, tmp_path: Path) -> None:
    before, table, begun = Traces.of(cluster.api), Table(), CLOCK.monotonic()
    with namespaces_with_a_workload(cluster, IN_PLACE_AT_ONCE) as names:
        place = Range(cluster, tmp_path, AT_A_TIME, existing=names)
        kills = part_of(draw(place.places(IN_PLACE_KINDS), RANDOM_KILLS, SHARE), PART)
        for start in range(0, len(kills), len(names)):
            wait_ready(cluster.api, names)
            states = States.of(cluster.api, names)
            place.kill(kills[start : start + len(names)], table)
            table.residue += place.sweep(SWEEPS_AT_A_TIME)
            wait_ready(cluster.api, names)
            table.residue += states.differences(cluster.api)
            print(f"{table.kills.total()} of {len(kills)} runs killed, residue: {table.residue}", flush=True)
            _tell("kills-in-existing-namespaces", table, begun)
    table.residue += before.left_by(Traces.of(cluster.api))
    assert table.residue == []
    assert len(table.ended) <= 0.05 * len(kills), table.ended


@pytest.fixture
def nobody_s() -> Iterator[LocalCluster]:
    """A cluster on which no run is at work, not even that of these tests: breaking nodes takes it alone."""
    with locked(NAME, _silent, "another run of these tests"):
        commands.down(NAME, _silent)
        with closing(commands.up(NAME, 2, _silent)) as made:
            yield made
        commands.down(NAME, _silent)


NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"
)


@NEEDS_ROOT
@pytest.mark.parametrize("kind", NODE_KINDS)
def test_node_recovers_from_a_kill_at_every_step_of_a_node_fault(
    nobody_s: LocalCluster, tmp_path: Path, kind: str
) -> None:
    """Machines always without a sweep; the rest too wherever the dead-man switch stands by."""
    at = Looks(nobody_s)
    # They have the cluster to themselves: one at a time.
    place, table, begun = Range(nobody_s, tmp_path, 1), Table(), CLOCK.monotonic()
    places = place.places([kind])
    alone = guarded(places[kind])
    for kill in part_of(draw(places, RANDOM_KILLS, SHARE), PART):
        place.kill([kill], table)
        at.machines(kill)
        if kill.place not in alone:
            table.residue += place.sweep(1)
        at.everything(kill)
        print(f"{kill.kind} killed at {kill.place}: taken back", flush=True)
        _tell(f"kills-of-{kind}", table, begun)
    assert table.residue == []
    assert table.missed == []


@NEEDS_ROOT
@pytest.mark.parametrize("kind", NODE_KINDS)
def test_sweep_restores_the_node_if_the_dead_man_switch_died_too(
    nobody_s: LocalCluster, tmp_path: Path, kind: str
) -> None:
    at = Looks(nobody_s)
    place, table, begun = Range(nobody_s, tmp_path, 1, with_dead_man=True), Table(), CLOCK.monotonic()
    for kill in part_of(draw(place.places([kind]), RANDOM_KILLS, SHARE), PART):
        place.kill([kill], table)
        table.residue += place.sweep(1)
        at.everything(kill)
        print(f"{kill.kind} and its dead-man switch killed at {kill.place}: swept", flush=True)
        _tell(f"kills-with-the-switch-of-{kind}", table, begun)
    assert table.residue == []
    assert table.missed == []


class Looks:
    """How it was before, and waiting until it is so again."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._before, self._facts = Traces.of(cluster.api), NodeFacts.of(cluster)

    def machines(self, kill: Kill) -> None:
        """Until the nodes' machines are as before and no dead-man switch is at work."""
        self._wait(f"the machines to be taken back after {kill}", self._changed)

    def everything(self, kill: Kill) -> None:
        """Until nothing at all is left."""
        self._wait(f"{kill} to be taken back", lambda: self._changed() + self._left())

    def _changed(self) -> list[str]:
        return self._facts.changed_by(NodeFacts.of(self._cluster))

    def _left(self) -> list[str]:
        return self._before.left_by(Traces.of(self._cluster.api))

    def _wait(self, what: str, differences: Callable[[], list[str]]) -> None:
        def look() -> tuple[bool | None, str]:
            left = differences()
            return (None if left else True), "; ".join(left)

        wait_until(what, look, BY_ITSELF_SECONDS, CLOCK, every=2.0)


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
