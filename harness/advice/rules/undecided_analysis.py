"""An analysis that neither succeeds nor fails, as with a query that selects no series: the Rollout waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case
from harness.advice.delivery import metrics, rollouts, templates, was_undecided
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.objects import reference
from harness.common.shapes import mapping


def _query(metric: Mapping[str, Any]) -> str:
    return str(mapping(mapping(metric.get("provider")).get("prometheus")).get("query") or "")


def _find(case: Case) -> Iterator[Advice]:
    missed = [each.title for each, _ in case.broken("rolloutEnds") if getattr(each, "outcome", "") != "inconclusive"]
    for subject in rollouts(case) if missed else ():
        for template in templates(case, subject) if was_undecided(case, subject) else ():
            for metric in (each for each in metrics(template) if _query(each)):
                others = [each for each in metrics(template) if each is not metric]
                query = " ".join(_query(metric).split())
                corrected = {**metric, "provider": {"prometheus": {**metric["provider"]["prometheus"], "query": "…"}}}
                yield Advice(
                    f"metric {metric.get('name')} of {reference(template)} met neither its success nor its failure "
                    "condition, as when its query selects no series",
                    f"{subject.name} paused with InconclusiveAnalysisRun; the query is {query}",
                    Strength.LIKELY,
                    tuple(missed),
                    {reference(template): {"spec": {"metrics": [corrected, *others]}}},
                )


RULE = Rule("undecided-analysis", _find)
