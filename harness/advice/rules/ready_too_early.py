"""New pods that get requests before the application may serve them: their probes pass, and no readiness gate waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.advice.case import HANDLERS, Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.common.shapes import mapping


def _lines(case: Case, subject: Subject, name: str) -> Counter[str]:
    """Return how many lines of the probe ``name`` each new pod of a subject logged while it was Ready."""
    injected = case.timeline.injected()
    old = {sample.uid for sample in subject.seen if injected is None or sample.at < injected.low}
    ready: dict[str, float] = {}
    for sample in subject.seen:
        if sample.ready and sample.uid not in old:
            ready.setdefault(sample.uid, sample.at)
    found: Counter[str] = Counter()
    for looked in case.timeline.observations("logs", name)[-1:]:
        for uid, log in mapping(mapping(looked.value).get("pods")).items():
            at = [time - case.timeline.wall_origin for time in log["at"]]
            if lines := sum(time >= ready[uid] for time in at) if uid in ready else 0:
                found[log["pod"]] = lines
    return found


def _find(case: Case) -> Iterator[Advice]:
    too_many = [each for each, finding in case.broken("logLines") if finding.comparison == "<="]
    for objective in too_many:
        name = getattr(objective, "name", "")
        for subject in (each for each in case.served if not each.pod.get("readinessGates")):
            probes = [each["readinessProbe"] for each in subject.containers if each.get("readinessProbe")]
            lines = _lines(case, subject, name)
            # Without any probe, that is the first thing to add.
            if not probes or not lines:
                continue
            shown = "; ".join(f"{kind}: {probe[kind]}" for probe in probes for kind in HANDLERS if kind in probe)
            yield Advice(
                f"new pods of {subject.name} get requests too early: their readiness probe ({shown}) passes, and no "
                "readiness gate waits for what only others can decide",
                f"lines {name} of pods that were Ready: {', '.join(f'{pod} {count}' for pod, count in lines.items())}",
                Strength.LIKELY,
                (objective.title,),
                subject.of_pod({"readinessGates": [{"conditionType": "…"}]}),
            )


RULE = Rule("ready-too-early", _find)
