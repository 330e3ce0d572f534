"""Nothing begins where the guard is against it: too long, at the wrong time, or while alerts fire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import Resource
from harness.common.errors import ClusterRefused, InputError
from harness.engine.preflight.admission import admit
from harness.engine.runner import Runner
from harness.experiment.declaration import Experiment
from harness.prometheus.client import Prometheus, PrometheusError, Sample
from harness.safety.guard.policy import Alerts, Policy
from harness.safety.guard.safety import Safety
from harness.safety.guard.windows import Windows
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


def _admit(
    root: Path, prometheus: Alerting | None = None, ownership: Ownership = Ownership.OWNED, **fields: Any
) -> None:
    stage = Stage(root)
    stage.cluster.ownership = ownership
    run = replace(stage.run(), policy=Policy(**fields), prometheus=cast(Prometheus, prometheus))
    admit(run, stage.experiment())


def test_by_default_everything_may_begin(tmp_path: Path) -> None:
    _admit(tmp_path)


def test_firing_alerts_are_named(tmp_path: Path) -> None:
    alerting = Alerting(["ShopDown", "DiskFull", "ShopDown"])
    with pytest.raises(ClusterRefused, match=r"firing alerts: DiskFull \(critical\), ShopDown \(critical\)$"):
        _admit(tmp_path, alerting, refuse_alerts=Alerts(severity=["critical", "page"], matchers={"team": 'a"b'}))
    assert alerting.asked == [r'ALERTS{alertstate="firing",severity=~"critical|page",team="a\"b"}']


def test_no_alert_is_no_refusal(tmp_path: Path) -> None:
    _admit(tmp_path, Alerting([]), refuse_alerts=Alerts())


def test_alerts_are_queried_only_if_the_guard_requires_it(tmp_path: Path) -> None:
    alerting = Alerting(["ShopDown"])
    _admit(tmp_path, alerting)
    assert alerting.asked == []


def test_failed_alert_query_blocks_the_start(tmp_path: Path) -> None:
    with pytest.raises(ClusterRefused, match="could not query Prometheus for firing alerts: gone"):
        _admit(tmp_path, Alerting(None), refuse_alerts=Alerts())


def test_foreign_cluster_without_prometheus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterRefused, match=r"no Prometheus found .*--prometheus-url, .* refuseAlerts: null"):
        _admit(tmp_path, ownership=Ownership.FOREIGN, refuse_alerts=Alerts())
    _admit(tmp_path, ownership=Ownership.FOREIGN, refuse_alerts=None)


def test_without_prometheus_owned_clusters_are_used(tmp_path: Path) -> None:
    _admit(tmp_path, ownership=Ownership.OWNED, refuse_alerts=Alerts())


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


def test_cluster_wide_manifest_is_refused_before_any_creation(tmp_path: Path) -> None:
    """All of it at once, each with its file and line; kinds that others have defined are asked of the cluster. A Python
    test's workload is first looked at here; an experiment file's was when it was read."""
    stage, experiment = _with_manifest(tmp_path, HOOK, disruptive=True)
    experiment = replace(experiment, disruptive=False)
    everywhere = Resource("example.org/v1", "everywheres", "Everywhere", namespaced=False)
    stage.cluster = FakeCluster(stage.clock, extra=[everywhere])
    with pytest.raises(ClusterRefused) as caught:
        Runner(stage.run(), experiment, "node").run()
    text = str(caught.value)
    assert "hook.yaml:6: kind: found validatingwebhookconfiguration/stop, which is cluster-scoped" in text
    assert "hook.yaml:11: kind: found everywhere/all" in text
    assert "an experiment with disruptive: true" in text
    assert "harmless" not in text
    assert [call for call in stage.cluster.server.calls if call.writes] == []


def test_permitted_experiment_may_change_the_whole_cluster(tmp_path: Path) -> None:
    stage, experiment = _with_manifest(tmp_path, HOOK, disruptive=True)
    admit(stage.run(), experiment)


def test_foreign_kind_in_the_experiment_namespace_is_permitted(tmp_path: Path) -> None:
    stage, experiment = _with_manifest(tmp_path, HOOK[HOOK.index("apiVersion: example.org") :])
    here = Resource("example.org/v1", "everywheres", "Everywhere")
    stage.cluster = FakeCluster(stage.clock, extra=[here])
    admit(stage.run(), experiment)


def test_twin_cannot_turn_an_object_into_another_kind(tmp_path: Path) -> None:
    patch = "service/shop: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding}, deployment/shop"
    with pytest.raises(InputError, match="a patch cannot change the identity of an object"):
        Stage(tmp_path).experiment(EXPERIMENT.replace("patch: {deployment/shop", f"patch: {{{patch}"))


def test_all_refusals_are_listed_and_nothing_is_changed(tmp_path: Path) -> None:
    """The fake clock stands at 2023-11-14 22:13, a Tuesday."""
    stage = Stage(tmp_path)
    policy = Policy(max_duration=5.0, windows=Windows(allow=["Mon 09:00-10:00"]), last_replica="spared")
    experiment = replace(stage.experiment(), safety=Safety(last_replica="allowed"))
    with pytest.raises(ClusterRefused) as caught:
        Runner(replace(stage.run(), policy=policy), experiment, "node").run()
    text = str(caught.value)
    assert "the guard refuses one-killed: it may take 9 s, but the guard allows at most 5 s" in text
    assert "it is Tue 2023-11-14" in text
    assert "the guard does not allow an experiment to hit a workload's last healthy pod" in text
    assert stage.cluster.server.calls == []
