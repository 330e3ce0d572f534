"""An analysis that counts an empty result as a success: a version without any request is promoted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.delivery import metrics, rollouts, templates, was_promoted
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.objects import reference

# The beginning of a condition that is true without a result.
_EMPTY = re.compile(r"\s*len\(result\)\s*==\s*0\s*\|\|\s*")


def _find(case: Case) -> Iterator[Advice]:
    missed = [each.title for each, _ in case.broken("rolloutEnds") if getattr(each, "outcome", "") != "promoted"]
    for subject in rollouts(case) if missed else ():
        for template in templates(case, subject) if was_promoted(case, subject) else ():
            for metric in metrics(template):
                condition = str(metric.get("successCondition") or "")
                empty = _EMPTY.match(condition)
                if not empty:
                    continue
                rest = condition[empty.end() :]
                # With both conditions an empty result is neither a success nor a failure.
                decided = {
                    "successCondition": f"len(result) > 0 && ({rest})",
                    "failureCondition": f"len(result) > 0 && !({rest})",
                }
                others = [each for each in metrics(template) if each is not metric]
                yield Advice(
                    f"metric {metric.get('name')} of {reference(template)} counts an empty result as a success",
                    f"{subject.name} promoted the new version; successCondition is {condition}",
                    Strength.LIKELY,
                    tuple(missed),
                    {reference(template): {"spec": {"metrics": [{**metric, **decided}, *others]}}},
                )


RULE = Rule("empty-analysis", _find)
