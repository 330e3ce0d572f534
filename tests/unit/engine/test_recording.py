"""The record of a recovery is what the objectives about it were held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine.recording import describe_run
from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Origin, Workload
from harness.model.timeline import Observation
from harness.objectives.base import Objective
from harness.objectives.invariant import Invariant
from harness.objectives.recovery_time import RecoveryTime
from harness.objectives.restarts import Restarts
from harness.results.record import ExperimentRecord
from harness.results.reporting import overview
from tests.unit.timelines import PODINFO, Story


def experiment(*objectives: Objective) -> Experiment:
    workload = Workload(Path(), (), ())
    return Experiment("lost", "it comes back", workload, objectives, Path("lost.yaml"))


def story() -> Story:
    """A pod is lost at 10 s, back at 12 s, and the fault undone at 20 s; the Service "slow" is whole at 25 s."""
    told = Story().replicas_ready("a", "b").endpoints(1.0, "a", "b", service="slow").requests(0, 55)
    told.injected(10.0, ("podinfo-a", "a"), undone=20.0).gone(10.1, "podinfo-a", "a")
    told.endpoints(10.2, "b").endpoints(10.2, "b", service="slow").pod(12.0, "podinfo-c", "c", since=12.0)
    return told.endpoints(12.1, "b", "c", wall=12.0).endpoints(25.0, "b", "c", service="slow", wall=24.9)


def recorded(*objectives: Objective, told: Story | None = None) -> ExperimentRecord:
    record = ExperimentRecord(id="x", name="lost", stage="judged")
    describe_run(record, experiment(*objectives), (told or story()).timeline, [])
    return record


def test_the_services_of_an_objective_are_those_recorded() -> None:
    record = recorded(RecoveryTime(of=PODINFO, max="9s", services=["podinfo"]))
    assert [clock.subject for clock in record.recovery if clock.clock == "endpoints"] == ["service/podinfo"]
    both = recorded(RecoveryTime(of=PODINFO, max="9s"))
    assert len([clock for clock in both.recovery if clock.clock == "endpoints"]) == 2


def test_images_are_recorded_with_their_digests() -> None:
    told = story()
    for at, pod, images in (
        (1.0, "a", [["shop:1", "docker.io/library/shop@sha256:1"]]),
        (2.0, "b", [["shop:1", "docker.io/library/shop@sha256:1"], ["loaded:1", "sha256:9"]]),
        (3.0, "b", [["shop:1", "docker.io/library/shop@sha256:2"]]),
    ):
        told.timeline.add(Observation("pods", pod, at, {"event": "MODIFIED", "uid": pod, "images": images}))
    found = [(image.image, image.digest, image.pods) for image in recorded(told=told).images]
    assert found == [("loaded:1", "sha256:9", 1), ("shop:1", "sha256:1", 2), ("shop:1", "sha256:2", 1)]


@pytest.mark.parametrize("order", [1, -1])
def test_each_of_two_objectives_counts_from_its_own_origin(order: int) -> None:
    fault = RecoveryTime(of=PODINFO, max="9s", clocks=["controlPlane"])
    undo = RecoveryTime(of=PODINFO, max="9s", clocks=["endpoints"], since="undone")
    record = recorded(*(fault, undo)[::order])
    judged = {(clock.clock, clock.subject, clock.since) for clock in record.recovery if clock.judged}
    assert judged == {
        ("control plane", PODINFO, "injected"),
        ("endpoints", "service/podinfo", "undone"),
        ("endpoints", "service/slow", "undone"),
    }


def test_record_holds_the_basis_of_the_verdict() -> None:
    objective = RecoveryTime(of=PODINFO, max="20s")
    finding = objective.judge(story().timeline)
    judged = [clock for clock in recorded(objective).recovery if clock.judged]
    assert finding.observed == max(clock.high for clock in judged if clock.high is not None)
    reasons = {f"{clock.clock}: {clock.subject}": f"{clock.state}: {clock.reason}" for clock in judged}
    assert reasons.items() <= finding.detail.items()


def test_a_clock_that_two_objectives_share_is_recorded_once() -> None:
    record = recorded(
        RecoveryTime(of=PODINFO, max="9s", clocks=["user"]), RecoveryTime(of=PODINFO, max="5s", clocks=["endpoints"])
    )
    keys = [(clock.clock, clock.subject) for clock in record.recovery]
    assert len(keys) == len(set(keys))
    assert {clock.clock for clock in record.recovery if clock.judged} == {"user", "endpoints"}


def test_unrequested_clocks_stay_out_of_the_table() -> None:
    """They are in the report, marked as not judged."""
    told = Story().replicas_ready("a", "b").requests(0, 55).injected(10.0, ("podinfo-a", "a")).endpoints(10.2, "b")
    record = recorded(RecoveryTime(of=PODINFO, max="9s", clocks=["user"]), told=told)
    assert overview.time_to_recover(record) == "no outage (user)"
    assert overview.clock_text(record, "endpoints") == ""
    shown = {clock.clock: overview.clock_text_in_full(clock) for clock in overview.clocks(record)}
    assert shown["endpoints"].endswith("(not judged)")
    assert "not judged" not in shown["user"]
    assert next(iter(shown)) == "user"


def test_workloads_of_other_objectives_are_shown_and_not_judged() -> None:
    record = recorded(Restarts(of=PODINFO, max=0), Invariant(of="service/podinfo", ready=">= 1"))
    assert {clock.subject for clock in record.recovery} == {PODINFO, "service/podinfo", "service/slow"}
    assert not any(clock.judged for clock in record.recovery)
    assert overview.time_to_recover(record) == ""


def test_record_has_the_source_of_the_workload() -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    origin = Origin("Helm chart charts/shop 1.2.0", "helm v3.22.0")
    first, other = (Workload(Path("charts/shop"), (each,), (), origin=origin) for each in (item, {**item, "data": {}}))
    records = []
    for workload in (first, other):
        records.append(ExperimentRecord(id="x", name="lost", stage="judged"))
        describe_run(records[-1], replace(experiment(), workload=workload), story().timeline, [])
    found, changed = (record.workload for record in records)
    assert found
    assert changed
    assert str(found) == "Helm chart charts/shop 1.2.0, rendered by helm v3.22.0"
    assert found.digest.startswith("sha256:")
    assert found.digest != changed.digest


def test_without_objects_no_workload_is_recorded() -> None:
    assert recorded().workload is None
