"""Nothing begins where the guard is against it: too long, at the wrong time, or while alerts fire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.admission import admit
from harness.errors import ClusterRefused
from harness.guard.policy import Alerts, Policy
from harness.guard.safety import Safety
from harness.guard.windows import Windows
from harness.probes.prometheus import Prometheus, PrometheusError, Sample
from harness.runner import Runner
from tests.fake_run import Stage


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
