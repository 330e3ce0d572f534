"""The spans of a run: true times, stable ids, and errors where the record has one."""

from __future__ import annotations

import pytest

from harness.model.trace_context import TraceIds
from harness.model.verdict import Verdict
from harness.results.record import Bounds, ExperimentRecord, FaultRecord, PhaseRecord, UndoRecord
from harness.telemetry.spans import Span, ids_of, spans
from tests.unit.telemetry.runs import BEGAN, experiment, leftover, run, twin

RUN = "run 20251129-080000-abcd"


def by_name(*records: ExperimentRecord) -> dict[str, Span]:
    return {span.name: span for span in spans(run(*records))}


def test_every_span_is_below_its_parent() -> None:
    found = by_name()
    root = found["experiment one"]
    assert found["phase fault"].parent == root.id
    assert found["fault podKill"].parent == found["phase fault"].id
    assert {found[name].trace for name in ("phase baseline", "phase fault", "fault podKill")} == {root.trace}


def test_run_and_its_experiments_are_linked_traces() -> None:
    found = by_name(experiment(), twin())
    whole, one, broken = (found[name] for name in (RUN, "experiment one", "experiment one, twin single"))
    assert list(whole.links) == [(one.trace, one.id), (broken.trace, broken.id)]
    assert list(one.links) == [(whole.trace, whole.id)]
    assert len({whole.trace, one.trace, broken.trace}) == 3


def test_spans_have_the_times_of_the_record() -> None:
    found = by_name()
    times = {name: (span.start - BEGAN, span.end - BEGAN) for name, span in found.items()}
    assert times == {
        RUN: (0, 80),
        "experiment one": (5, 70),
        "phase baseline": (10, 40),
        "phase fault": (40, 50),
        "phase recovery": (50, 60),
        "fault podKill": (40, 40.25),
    }


def test_undone_fault_lasts_until_the_undo() -> None:
    undo = UndoRecord(kind="nodePause", description="resume", state="done")
    fault = leftover().model_copy(update={"undone": Bounds(low=39.0, high=39.5), "undo": [undo], "proven": True})
    span = by_name(experiment(faults=[fault]))["fault nodePause"]
    assert (span.start - BEGAN, span.end - BEGAN) == (40, 49.5)
    assert [(event.name, event.at - BEGAN) for event in span.events] == [("injected", 41), ("undone", 49.5)]
    assert span.error is None


def test_victim_is_named_by_the_semantic_conventions() -> None:
    (event,) = by_name()["fault podKill"].events
    assert event.attributes == {
        "resilience.victim": "pod/shop-1",
        "k8s.namespace.name": "rh-one",
        "k8s.pod.name": "shop-1",
        "k8s.pod.uid": "u1",
    }


@pytest.mark.parametrize(
    ("record", "name", "error"),
    [
        (experiment(), "experiment one", None),
        (
            experiment(verdict=Verdict.BROKEN, passed=False, reason="too slow"),
            "experiment one",
            "BROKEN: too slow",
        ),
        (experiment(verdict=Verdict.BROKEN, passed=False), RUN, "BROKEN"),
        (twin(), "experiment one, twin single", None),
        (experiment(faults=[leftover()]), "fault nodePause", "UNDO FAILED: resume node-1: no route"),
        (experiment(), "phase fault", ""),
    ],
)
def test_status_is_that_of_the_record(record: ExperimentRecord, name: str, error: str | None) -> None:
    assert by_name(record)[name].error == error


def test_fault_without_evidence_is_an_error() -> None:
    fault = FaultRecord(kind="scale", parameters={}, injected=Bounds(low=30.0, high=31.0), evidence="none seen")
    assert by_name(experiment(faults=[fault]))["fault scale"].error == "no evidence that it took effect: none seen"


def test_interrupted_phase_ends_with_its_experiment() -> None:
    record = experiment(phases=[PhaseRecord(name="fault", start=30.0)], stage="observed", passed=False, finished="")
    found = by_name(record)
    assert found["experiment one"].end == BEGAN + 40
    assert found["phase fault"].end == BEGAN + 40


def test_what_did_not_start_has_no_span() -> None:
    waiting = experiment(name="two", id="two", started="", phases=[], faults=[], stage="declared")
    fault = FaultRecord(kind="scale", parameters={})
    assert set(by_name(experiment(faults=[fault], phases=[]), waiting)) == {
        RUN,
        "experiment one",
    }


def test_attempts_of_a_series_are_traces() -> None:
    series = experiment(attempts=[experiment(attempt=1), experiment(attempt=2)])
    roots = [span for span in spans(run(series)) if span.name == "experiment one"]
    assert [span.attributes["resilience.attempt"] for span in roots] == [1, 2]
    assert len({span.trace for span in roots}) == 2


def test_ids_are_those_that_the_documentation_derives() -> None:
    ids = TraceIds.of("r1", file="one.yaml", name="one")
    # printf 'r1\none.yaml\none\n\n0\n0\n0' | sha256sum | cut -c1-32, and printf 'TRACE\nfault' | sha256sum | cut -c1-16
    assert ids.trace == "6c9a2c74fd2d7fa49783d19db6925b90"
    assert ids.span("fault") == "417110a6b1d9b258"


def test_header_follows_the_w3c_format() -> None:
    ids = ids_of(run(), experiment())
    headers = ids.headers(["baseline", "fault"], "sampled")
    assert headers == {
        "": f"00-{ids.trace}-{ids.span()}-01",
        "baseline": f"00-{ids.trace}-{ids.span('baseline')}-01",
        "fault": f"00-{ids.trace}-{ids.span('fault')}-01",
    }
    assert ids.headers(["fault"], "unsampled")["fault"].endswith("-00")
    assert ids.headers(["fault"], "off") == {}


def test_load_sends_the_ids_of_the_spans() -> None:
    found = by_name()["phase fault"]
    header = ids_of(run(), experiment()).headers(["fault"], "sampled")["fault"]
    assert header == f"00-{found.trace}-{found.id}-01"
