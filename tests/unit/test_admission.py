"""Nothing begins where the guard is against it: too long, at the wrong time, or while alerts fire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.admission import admit
from harness.cluster.fake import FakeCluster
from harness.cluster.resources import Resource
from harness.errors import ClusterRefused
from harness.experiment import Experiment
from harness.guard.policy import Alerts, Policy
from harness.guard.safety import Safety
from harness.guard.windows import Windows
from harness.probes.prometheus import Prometheus, PrometheusError, Sample
from harness.runner import Runner
from tests.fake_run import EXPERIMENT, Stage


@dataclass
class Alerting:
    """A Prometheus in which these alerts fire; None: it does not answer."""

    names: Sequence[str] | None
    asked: list[str] = field(default_factory=list)

    def instant(self, query: str) -> list[Sample]:
        self.asked.append(query)
        if self.names is None:
            raise PrometheusError("gone")
        return [Sample({"alertname": name, "severity": "critical"}, 0.0, 1.0) for name in self.names]


def _admit(root: Path, prometheus: Alerting | None = None, **fields: Any) -> None:
    stage = Stage(root)
    run = replace(stage.run(), policy=Policy(**fields), prometheus=cast(Prometheus, prometheus))
    admit(run, stage.experiment())


def test_by_default_everything_may_begin(tmp_path: Path) -> None:
    _admit(tmp_path)


def test_firing_alerts_are_named(tmp_path: Path) -> None:
    alerting = Alerting(["ShopDown", "DiskFull", "ShopDown"])
    with pytest.raises(ClusterRefused, match=r"alerts fire: DiskFull \(critical\), ShopDown \(critical\)$"):
        _admit(tmp_path, alerting, refuse_alerts=Alerts(severity=["critical", "page"], matchers={"team": 'a"b'}))
    assert alerting.asked == [r'ALERTS{alertstate="firing",severity=~"critical|page",team="a\"b"}']


def test_no_alert_is_no_refusal(tmp_path: Path) -> None:
    _admit(tmp_path, Alerting([]), refuse_alerts=Alerts())


def test_alerts_are_not_asked_for_unless_the_guard_does(tmp_path: Path) -> None:
    alerting = Alerting(["ShopDown"])
    _admit(tmp_path, alerting)
    assert alerting.asked == []


def test_alerts_that_cannot_be_asked_for_are_a_reason_not_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ClusterRefused, match="could not be asked: gone"):
        _admit(tmp_path, Alerting(None), refuse_alerts=Alerts())


def _provider(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(FakeCluster, "provider", name)


def test_without_a_prometheus_nothing_begins_on_a_cluster_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _provider(monkeypatch, "kubeconfig")
    with pytest.raises(ClusterRefused, match=r"no Prometheus was found: .*--prometheus-url, .* refuseAlerts: null"):
        _admit(tmp_path, refuse_alerts=Alerts())
    _admit(tmp_path, refuse_alerts=None)


@pytest.mark.parametrize("provider", ["local", "kind", "fake"])
def test_without_a_prometheus_clusters_of_ours_are_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    _provider(monkeypatch, provider)
    _admit(tmp_path, refuse_alerts=Alerts())


HOOK = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: harmless}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: stop}
webhooks: []
---
apiVersion: example.org/v1
kind: Everywhere
metadata: {name: all}
"""


def _with_manifest(root: Path, text: str, *, disruptive: bool = False) -> tuple[Stage, Experiment]:
    stage = Stage(root)
    stage.experiment()
    (root / "experiments/workloads/shop/hook.yaml").write_text(text)
    written = EXPERIMENT.replace("hypothesis:", "disruptive: true\nhypothesis:") if disruptive else EXPERIMENT
    return stage, stage.experiment(written)


def test_what_works_on_the_whole_cluster_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """All of it at once, each with its file and line; kinds that others have defined are asked of the cluster. A Python
    test's workload is first looked at here; an experiment file's was when it was read."""
    stage, experiment = _with_manifest(tmp_path, HOOK, disruptive=True)
    experiment = replace(experiment, disruptive=False)
    everywhere = Resource("example.org/v1", "everywheres", "Everywhere", namespaced=False)
    stage.cluster = FakeCluster(stage.clock, extra=[everywhere])
    with pytest.raises(ClusterRefused) as caught:
        Runner(stage.run(), experiment, "node").run()
    text = str(caught.value)
    assert "hook.yaml:6: kind: found validatingwebhookconfiguration/stop, which belongs to no namespace" in text
    assert "hook.yaml:11: kind: found everywhere/all" in text
    assert "an experiment that says disruptive: true" in text
    assert "harmless" not in text
    assert [call for call in stage.cluster.server.calls if call.writes] == []


def test_an_experiment_that_says_so_may_work_on_the_whole_cluster(tmp_path: Path) -> None:
    stage, experiment = _with_manifest(tmp_path, HOOK, disruptive=True)
    admit(stage.run(), experiment)


def test_a_kind_of_others_in_the_experiment_s_namespace_is_nobody_else_s_business(tmp_path: Path) -> None:
    stage, experiment = _with_manifest(tmp_path, HOOK[HOOK.index("apiVersion: example.org") :])
    here = Resource("example.org/v1", "everywheres", "Everywhere")
    stage.cluster = FakeCluster(stage.clock, extra=[here])
    admit(stage.run(), experiment)


def test_a_twin_makes_nothing_of_an_object_that_its_experiment_may_not_have(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    patch = "service/shop: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding}, deployment/shop"
    experiment = stage.experiment(
        EXPERIMENT.replace("patch: {deployment/shop", f"patch: {{{patch}"), twin="one-replica"
    )
    with pytest.raises(ClusterRefused, match="workloads/shop: kind: found clusterrolebinding/shop"):
        admit(stage.run(), experiment)


def test_everything_is_told_at_once_and_nothing_is_touched(tmp_path: Path) -> None:
    """The fake clock stands at 2023-11-14 22:13, a Tuesday."""
    stage = Stage(tmp_path)
    policy = Policy(max_duration=5.0, windows=Windows(allow=["Mon 09:00-10:00"]), last_replica="spared")
    experiment = replace(stage.experiment(), safety=Safety(last_replica="allowed"))
    with pytest.raises(ClusterRefused) as caught:
        Runner(replace(stage.run(), policy=policy), experiment, "node").run()
    text = str(caught.value)
    assert "the guard refuses one-killed: it may take 9 s, and the guard allows 5 s" in text
    assert "it is Tue 2023-11-14" in text
    assert "the guard lets no experiment hit a workload's last healthy pod" in text
    assert stage.cluster.server.calls == []
