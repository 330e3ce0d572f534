"""Alerting rules on the harness's own metrics: runs that did not happen, broke, or left something behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from harness.model.quantities import counted, show_seconds
from harness.telemetry.metrics import PREFIX

GROUP = "resilience-harness"
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Alerts:
    """The rules. ``max_age`` is how many seconds ago the last run may have been, and the last one that HELD.

    ``matchers`` are labels that a series must have; ``labels`` are added to every alert.
    """

    max_age: float
    matchers: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules in the format of Prometheus."""
        run, success = self._series("last_run_timestamp_seconds"), self._series("last_success_timestamp_seconds")
        day, day_success = (self._series(f"gameday_last_{what}_timestamp_seconds") for what in ("run", "success"))
        age, shown = f"{self.max_age:.0f}", shown_age(self.max_age)
        broken = self._series("experiment_verdict", 'twin=""', 'verdict="BROKEN"')
        twins = self._series("experiment_passed", 'twin!=""')
        return [
            self._rule(
                "ResilienceRunMissed",
                f"time() - max by (context) ({run}) > {age}",
                ("warning", "15m"),
                f"No resilience run on {{{{ $labels.context }}}} for over {shown}",
                "The last run ended {{ $value | humanizeDuration }} ago. Check that its schedule is not suspended, and "
                "why its last job did not start.",
            ),
            self._rule(
                "ResilienceNoSuccess",
                f"time() - max by (context) ({success}) > {age} or "
                f"max by (context) ({run}) unless max by (context) ({success})",
                ("warning", "1h"),
                f"No resilience run on {{{{ $labels.context }}}} HELD in the last {shown}",
                "Runs may end, but none of them with the verdict HELD. Open the report of the last one.",
            ),
            self._rule(
                "ResilienceGameDayMissed",
                f"time() - max by (context, gameday) ({day}) > {age}",
                ("warning", "15m"),
                f"Game day {{{{ $labels.gameday }}}} did not run on {{{{ $labels.context }}}} for over {shown}",
                "It last ended {{ $value | humanizeDuration }} ago. Check that its schedule is not suspended, and why "
                "its last job did not start.",
            ),
            self._rule(
                "ResilienceGameDayNoSuccess",
                f"time() - max by (context, gameday) ({day_success}) > {age} or "
                f"max by (context, gameday) ({day}) unless max by (context, gameday) ({day_success})",
                ("warning", "1h"),
                f"Game day {{{{ $labels.gameday }}}} did not hold on {{{{ $labels.context }}}} in the last {shown}",
                "It may run, but not with the verdict HELD. Open the report of the last one.",
            ),
            self._rule(
                "ResilienceExperimentBroken",
                f"max by (context, experiment) ({broken}) == 1",
                ("warning", ""),
                "{{ $labels.experiment }} is BROKEN on {{ $labels.context }}",
                "The application missed an objective under this fault. The report shows which one, and by how much.",
            ),
            self._rule(
                "ResilienceTwinDidNotBreak",
                f"min by (context, experiment, twin) ({twins}) == 0",
                ("info", ""),
                "Twin {{ $labels.twin }} of {{ $labels.experiment }} did not break on {{ $labels.context }}",
                "An experiment that cannot fail proves nothing: its twin is weakened on purpose and must be BROKEN.",
            ),
            self._rule(
                "ResilienceLeftovers",
                f"max by (context) ({self._series('last_run_leftovers')}) > 0",
                ("critical", ""),
                "A resilience run left {{ $value }} effects on {{ $labels.context }}",
                "The undo of a fault failed. Run `harness sweep` on this cluster now; the report lists the effects.",
            ),
            self._rule(
                "ResilienceMetricsMissing",
                f"absent({run})",
                ("warning", "1h"),
                "There are no metrics of resilience runs",
                "No run has sent metrics yet, or the textfile or Pushgateway with them is gone.",
            ),
        ]

    def file(self) -> str:
        """Return a rule file of Prometheus."""
        return _yaml({"groups": [self._group()]})

    def manifest(self, name: str = GROUP, namespace: str = "") -> str:
        """Return the rules as a PrometheusRule of the prometheus-operator."""
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        # The operator of kube-prometheus selects rules by labels; which ones is a setting of each installation.
        head = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata}
        return _yaml({**head, "spec": {"groups": [self._group()]}})

    def _group(self) -> dict[str, Any]:
        return {"name": GROUP, "rules": self.rules()}

    def _series(self, name: str, *matchers: str) -> str:
        # PromQL's string literals have the escapes of JSON.
        given = [f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in self.matchers.items()]
        return f"{PREFIX}{name}{{{','.join([*given, *matchers])}}}" if given or matchers else f"{PREFIX}{name}"

    def _rule(self, name: str, expr: str, how: tuple[str, str], summary: str, description: str) -> dict[str, Any]:
        severity, wait = how
        return {
            "alert": name,
            "expr": expr,
            **({"for": wait} if wait else {}),
            "labels": {"severity": severity, **self.labels},
            "annotations": {"summary": summary, "description": description},
        }


def shown_age(seconds: float) -> str:
    """Return a time as in a sentence: ``8 days``, ``36 h``."""
    days = seconds / DAY
    return counted(int(days), "day") if days >= 2 and days == int(days) else show_seconds(seconds)


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
