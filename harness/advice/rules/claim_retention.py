"""Volume claims that a StatefulSet deletes or keeps when it is scaled down, against what is wanted."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.objectives.claims import Claims


def _find(case: Case) -> Iterator[Advice]:
    scaled = any(injection.fault == "scale" for injection in case.injections)
    for subject in case.subjects if scaled else ():
        if subject.item["kind"] != "StatefulSet" or not subject.spec.get("volumeClaimTemplates"):
            continue
        policy = subject.spec.get("persistentVolumeClaimRetentionPolicy") or {}
        kept = policy.get("whenScaled", "Retain") == "Retain"
        explains = _kept_in_vain(case, subject) if kept else _lost(case, subject)
        if explains:
            what = "keeps the claims of pods that are" if kept else "deletes the claims of pods that are"
            yield Advice(
                f"{subject.name} {what} scaled away: whenScaled is {'Retain' if kept else 'Delete'}",
                case.missed("claims", "identity", "durability")[0].reason,
                Strength.OBSERVED,
                explains,
                subject.of_spec(
                    {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete" if kept else "Retain"}}
                ),
            )


def _kept_in_vain(case: Case, subject: Subject) -> tuple[str, ...]:
    missed = case.titles("claims")
    return tuple(each.title for each in _claims(case, subject) if each.removed == "deleted" and each.title in missed)


def _lost(case: Case, subject: Subject) -> tuple[str, ...]:
    if any(each.removed == "deleted" for each in _claims(case, subject)):
        return ()
    return case.titles("claims", "identity", "durability")


def _claims(case: Case, subject: Subject) -> list[Claims]:
    """Return the objectives on the claims of a subject, missed or not."""
    return [each for each in case.experiment.objectives if isinstance(each, Claims) and each.of == subject.name]


RULE = Rule("claim-retention", _find)
