"""OpenSLO files become objectives that promise the same, or an error that names what cannot be carried over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import BAD_INPUT, main
from harness.common.errors import InputError
from harness.experiment.openslo import Imported, import_openslo
from harness.objectives.prometheus import Prometheus


def metric(query: str, **more: Any) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}, **more}}


def slo(indicator: dict[str, Any] | None, *, version: str = "openslo/v1", **spec: Any) -> dict[str, Any]:
    key = "sli" if version != "openslo/v1" else "indicator"
    inline = {} if indicator is None else {key: {"metadata": {"name": "inline"}, "spec": indicator}}
    rest = {"budgetingMethod": "Occurrences", "objectives": [{"target": 0.999}], **inline, **spec}
    return {"apiVersion": version, "kind": "SLO", "metadata": {"name": "checkout"}, "spec": rest}


def imported(tmp_path: Path, *documents: dict[str, Any]) -> Imported:
    file = tmp_path / "slo.yaml"
    file.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return import_openslo([file])


def one(tmp_path: Path, *documents: dict[str, Any]) -> dict[str, Any]:
    (objective,) = imported(tmp_path, *documents).objectives
    Prometheus.model_validate(objective["prometheus"])
    return objective["prometheus"]


def ratio(good: str = 'sum(hits{code!~"5.."})', total: str = "hits", **more: Any) -> dict[str, Any]:
    return {"ratioMetric": {"counter": True, "good": metric(good), "total": metric(total), **more}}


def test_a_ratio_of_counters_is_counted_within_the_phase(tmp_path: Path) -> None:
    assert one(tmp_path, slo(ratio())) == {
        "name": "checkout",
        "good": 'sum(increase(hits{code!~"5.."}[$window]))',
        "total": "sum(increase(hits[$window]))",
        "min": "99.9%",
    }


@pytest.mark.parametrize(
    "window", ["[5m]", "[{{.window}}]", "[{{ .Window }}]", "[${window}]", "[$window]", "[$__rate_interval]"]
)
def test_query_window_becomes_the_phase(tmp_path: Path, window: str) -> None:
    written = one(tmp_path, slo(ratio(f"sum(rate(good{window}))", f"sum(increase(all{window}))")))
    assert (written["good"], written["total"]) == ("sum(increase(good[$window]))", "sum(increase(all[$window]))")


def test_bad_events_are_subtracted_and_zero_is_no_gap(tmp_path: Path) -> None:
    indicator = {"ratioMetric": {"counter": True, "bad": metric("sum(bad)"), "total": metric("sum(hits)")}}
    good = one(tmp_path, slo(indicator))["good"]
    assert good == "(sum(increase(hits[$window]))) - ((sum(increase(bad[$window]))) or vector(0))"


@pytest.mark.parametrize(("kind", "bound"), [("success", {"min": "99.9%"}), ("failure", {"max": 0.001})])
def test_a_ratio_that_is_stored_is_averaged_over_the_phase(tmp_path: Path, kind: str, bound: dict[str, Any]) -> None:
    written = one(tmp_path, slo({"ratioMetric": {"rawType": kind, "raw": metric("job:errors:ratio")}}))
    assert written == {"name": "checkout", "value": "job:errors:ratio", "reducer": "mean", **bound}


def test_a_threshold_is_the_share_of_scrapes_that_meet_it(tmp_path: Path) -> None:
    objectives = [{"op": "lte", "value": 0.5, "targetPercent": 99}]
    written = one(tmp_path, slo({"thresholdMetric": metric("max(latency)")}, objectives=objectives))
    assert written == {"name": "checkout", "value": "(max(latency)) <= bool 0.5", "reducer": "mean", "min": "99%"}


@pytest.mark.parametrize("window", ["[5m]", "[{{.window}}]"])
def test_query_with_a_look_back_is_sent_once_per_phase(tmp_path: Path, window: str) -> None:
    """Beside a reducer its range would reach before the phase, which no experiment may."""
    written = one(tmp_path, slo({"ratioMetric": {"rawType": "failure", "raw": metric(f"sum(rate(bad{window}))")}}))
    assert written == {"name": "checkout", "value": "sum(rate(bad[$window]))", "max": 0.001}
    objectives = [{"op": "lte", "value": 0.5, "target": 0.99}]
    written = one(tmp_path, slo({"thresholdMetric": metric(f"max(rate(bad{window}))")}, objectives=objectives))
    assert written == {"name": "checkout", "value": "(max(rate(bad[$window]))) <= bool 0.5", "min": "99%"}


def test_target_of_one_requires_every_request_to_succeed(tmp_path: Path) -> None:
    written = one(tmp_path, slo(ratio(), objectives=[{"target": 1}]))
    assert (written["min"], written["confidence"]) == ("100%", None)


def test_indicator_and_source_may_be_in_separate_documents(tmp_path: Path) -> None:
    source = {
        "apiVersion": "openslo/v1",
        "kind": "DataSource",
        "metadata": {"name": "p"},
        "spec": {"type": "prometheus"},
    }
    indicator = ratio(good="sum(good)")
    for part in ("good", "total"):
        indicator["ratioMetric"][part]["metricSource"].pop("type")
        indicator["ratioMetric"][part]["metricSource"]["metricSourceRef"] = "p"
    sli = {"apiVersion": "openslo/v1", "kind": "SLI", "metadata": {"name": "served"}, "spec": indicator}
    service = {"apiVersion": "openslo/v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {}}
    assert one(tmp_path, source, sli, service, slo(None, indicatorRef="served"))["min"] == "99.9%"
    source["spec"]["type"] = "Datadog"
    with pytest.raises(InputError, match="found a metric of Datadog, expected Prometheus"):
        imported(tmp_path, source, sli, slo(None, indicatorRef="served"))


def test_the_second_version_is_read_too(tmp_path: Path) -> None:
    flat = {"prometheus": {"url": "x"}, "spec": {"query": "sum(a)"}}
    indicator = {"ratioMetric": {"counter": True, "good": flat, "total": flat}}
    assert one(tmp_path, slo(indicator, version="openslo/v2alpha1"))["good"] == "sum(increase(a[$window]))"
    flat = {"redshift": {}, "spec": {"query": "SELECT 1"}}
    with pytest.raises(InputError, match="found a metric of redshift"):
        imported(
            tmp_path,
            slo(
                {"thresholdMetric": flat},
                version="openslo/v2alpha1",
                objectives=[{"op": "lt", "value": 1, "target": 0.9}],
            ),
        )


def test_objectives_of_one_slo_have_separate_names(tmp_path: Path) -> None:
    objectives = [{"displayName": "most", "target": 0.99}, {"target": 0.5}]
    found = imported(tmp_path, slo(ratio(), objectives=objectives)).objectives
    assert [each["prometheus"]["name"] for each in found] == ["checkout: most", "checkout: 0.5"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"apiVersion": "sloth/v1", "kind": "SLO"}, "found 'sloth/v1', expected one of openslo/v1"),
        (slo(ratio(), budgetingMethod="Timeslices"), "found Timeslices, expected Occurrences"),
        (slo(ratio(), objectives=[]), "expected at least one"),
        (slo(ratio(), objectives=[{"target": 99.9}]), "above 0 and at most 1"),
        (slo(ratio(), objectives=[{"target": 0.9, "targetPercent": 90}]), "expected one of them"),
        (slo(ratio(), objectives=[{"target": 0.9, "indicatorRef": "x"}]), "found a composite SLO"),
        (slo(None, indicatorRef="nowhere"), "found no SLI 'nowhere' in the files given"),
        (slo(None), "found no indicator"),
        (slo({}), "found both or neither of ratioMetric and thresholdMetric"),
        (slo({"ratioMetric": {"good": metric("a")}}), "found good, expected good and total"),
        (slo({"ratioMetric": {"raw": metric("a")}}), "found None, expected success or failure"),
        (slo({"thresholdMetric": metric("a")}), "found op None and value None"),
        (slo(ratio("max(rate(a[5m:1m]))")), "found a subquery"),
        (slo(ratio("sum(rate(a[5m] offset 1m))")), "found offset, which cannot be limited to a phase"),
        (slo({"ratioMetric": {"rawType": "success", "raw": metric("a @ 5")}}), "found @, which cannot"),
        (slo(ratio("sum(a) by (b)")), "expected a query with a range, or for counter: true one selector"),
        (slo(ratio(counter=False)), "expected a query with a range"),
        (slo({"ratioMetric": {"counter": True, "good": {}, "total": metric("a")}}), "found no spec.query"),
    ],
)
def test_unsupported_openslo_feature_is_refused(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        imported(tmp_path, document)
    assert message in str(raised.value)


def test_all_problems_are_listed_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        imported(tmp_path, slo(ratio("sum(a) by (b)"), budgetingMethod="Timeslices"))
    lines = [problem.line for problem in raised.value.problems]
    assert len(lines) == 2
    assert None not in lines


def test_the_command_prints_what_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "slo.yaml"
    file.write_text(yaml.safe_dump(slo(ratio("sum(rate(a[5m]))", 'sum(rate(b{namespace="prod"}[5m]))'))))
    assert main(["import", "openslo", str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("# ") == 3
    assert yaml.safe_load(printed)["objectives"][0]["prometheus"]["min"] == "99.9%"
    file.write_text("kind: Service\napiVersion: openslo/v1\nmetadata: {name: a}\nspec: {}\n")
    assert main(["import", "openslo", str(file)]) == BAD_INPUT
    assert "contains no SLO" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "text"), [(0.57, "57%"), (0.999, "99.9%"), (0.9999999, "99.99999%"), (0.99999999, "99.999999%")]
)
def test_target_keeps_all_of_its_digits(tmp_path: Path, target: float, text: str) -> None:
    assert one(tmp_path, slo(ratio(), objectives=[{"target": target}]))["min"] == text
