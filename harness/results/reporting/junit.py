"""Add the objectives of experiments to a JUnit file: one test case each, in a suite of their own.

pytest writes one test case for an experiment, with one failure whatever was missed. A suite beside pytest's keeps the
counts of pytest's own suite as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from harness.model.verdict import Verdict

SUITE = "resilience objectives"
_VERDICT = re.compile(r"objective\.(.+)\.verdict", re.DOTALL)


@dataclass(frozen=True)
class _Objective:
    title: str
    verdict: str
    reason: str


def with_objectives(text: bytes) -> bytes:
    """Return the JUnit file with a suite of the objectives, or unchanged if it has no experiment with objectives.

    The facts are the properties of the test cases. Twins are left out: their objectives must be missed. Raises
    ElementTree.ParseError.
    """
    root = ElementTree.fromstring(text)  # noqa: S314 - pytest wrote it
    if root.tag != "testsuites":
        return text
    for old in [suite for suite in root.findall("testsuite") if suite.get("name") == SUITE]:
        root.remove(old)
    cases = [case for found in root.iter("testcase") for case in _cases(found)]
    if not cases:
        return text
    counts = {tag: str(sum(case.find(tag) is not None for case in cases)) for tag in ("failure", "error")}
    attributes = {"errors": counts["error"], "failures": counts["failure"], "skipped": "0", "tests": str(len(cases))}
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **attributes, "time": "0.000"})
    suite.extend(cases)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def _cases(experiment: ElementTree.Element) -> Iterator[ElementTree.Element]:
    properties = {str(each.get("name")): str(each.get("value")) for each in experiment.iter("property")}
    if "twin" in properties or "verdict" not in properties:
        return
    name = f"{experiment.get('classname', '')}.{experiment.get('name', '')}".strip(".")
    for objective in _objectives(properties):
        case = ElementTree.Element("testcase", {"classname": name, "name": objective.title, "time": "0.000"})
        tag = {Verdict.BROKEN: "failure", Verdict.INCONCLUSIVE: "error"}.get(Verdict(objective.verdict))
        if tag:
            message = f"{objective.verdict}: {objective.reason}"
            ElementTree.SubElement(case, tag, {"message": message}).text = message
        yield case


def _objectives(properties: dict[str, str]) -> Iterator[_Objective]:
    for name, value in properties.items():
        if (found := _VERDICT.fullmatch(name)) and value in list(Verdict):
            yield _Objective(found[1], value, properties.get(f"objective.{found[1]}.reason", ""))
