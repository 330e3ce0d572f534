"""Import OpenSLO files as objectives, so that existing SLOs need not be written again.

An SLO covers weeks, a phase lasts seconds. So the SLO's window becomes the phase (``$window``), its target becomes the
minimum, and its queries are kept, except that ``rate`` becomes ``increase``, so that requests can be counted. Parts
that cannot be translated exactly are refused, since an objective with another meaning would be worse than none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.common.documents import Document, Place, load_documents
from harness.common.errors import InputError, Problem
from harness.objectives.prometheus import Prometheus
from harness.prometheus.promql import WINDOW

VERSIONS = ("openslo/v1", "openslo/v2alpha", "openslo/v2alpha1")
# Ownership and alerting: an experiment has nothing to judge in them.
IGNORED = ("Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
OPERATORS = {"lte": "<=", "lt": "<", "gte": ">=", "gt": ">"}
# OpenSLO does not define how a query refers to its window: these are template variables, and those of Grafana.
_WINDOW = re.compile(r"\{\{\s*\.?[wW]indow\s*\}\}|\$\{window\}|\$__(?:rate_interval|interval|range)\b")
_RANGE = re.compile(r"\[\s*\d[\da-z]*\s*\]")
# The first alternative consumes strings, so that an "@" or "offset" in a label value does not count.
_BACK = re.compile(r'"(?:[^"\\]|\\.)*"|(\[[^\]]*:|\boffset\b|@)')
_SELECTOR = r'[a-zA-Z_:][\w:]*\s*(?:\{(?:[^}"]|"(?:[^"\\]|\\.)*")*\})?'
_SUM = re.compile(rf"\s*(?:sum\s*\(\s*({_SELECTOR})\s*\)|({_SELECTOR}))\s*")


@dataclass
class Imported:
    """Objectives in the form of an experiment file, and notes for the user about their translation."""

    objectives: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return YAML to paste into an experiment, with the notes as comments."""
        head = "".join(f"# {note}\n" for note in dict.fromkeys(self.notes))
        return head + yaml.safe_dump({"objectives": self.objectives}, sort_keys=False, allow_unicode=True, width=110)


def import_openslo(files: Sequence[Path]) -> Imported:
    """Translate all SLOs in these files, which may also contain their SLIs and data sources in any order.

    Raises InputError with everything that cannot be translated.
    """
    problems: list[Problem] = []
    documents: list[Document] = []
    for file in files:
        try:
            documents += load_documents(file)
        except InputError as error:
            problems += error.problems
    imported = _Importer(documents, problems).imported()
    if not problems and not imported.objectives:
        problems += [Problem("contains no SLO", file) for file in files]
    if problems:
        raise InputError(problems)
    return imported


class _Importer:
    def __init__(self, documents: Sequence[Document], problems: list[Problem]) -> None:
        self._problems = problems
        self._known = [document for document in documents if self._is_openslo(document)]
        self._imported = Imported()

    def imported(self) -> Imported:
        for document in self._known:
            if document.data["kind"] == "SLO":
                self._slo(document)
        return self._imported

    def _is_openslo(self, document: Document) -> bool:
        data = document.data if isinstance(document.data, dict) else {}
        version, kind = data.get("apiVersion"), data.get("kind")
        if version not in VERSIONS:
            self._reject(document, ("apiVersion",), f"found {version!r}, expected one of {', '.join(VERSIONS)}")
            return False
        if kind not in ("SLO", "SLI", "DataSource", *IGNORED):
            self._reject(document, ("kind",), f"found {kind!r}, expected SLO, SLI, DataSource, {', '.join(IGNORED)}")
            return False
        if not _name(data) or not isinstance(data.get("spec"), dict):
            self._reject(document, (), "found no metadata.name or no spec, expected both")
            return False
        return True

    def _reject(self, document: Document, place: Place, message: str) -> None:
        self._problems.append(document.problem(place, message))

    def _slo(self, document: Document) -> None:
        spec = document.data["spec"]
        method = spec.get("budgetingMethod", "Occurrences")
        if method != "Occurrences":
            why = "time slices of minutes do not fit into phases of seconds"
            self._reject(document, ("spec", "budgetingMethod"), f"found {method}, expected Occurrences: {why}")
        objectives = spec.get("objectives")
        if not isinstance(objectives, list) or not objectives:
            self._reject(document, ("spec", "objectives"), "found none, expected at least one")
            return
        for index, objective in enumerate(objectives):
            place: Place = ("spec", "objectives", index)
            target = self._target(document, place, objective)
            indicator = self._indicator(document)
            if target is None or indicator is None:
                continue
            written = self._written(document, indicator, place, objective, target)
            if written:
                self._add(document, place, {"name": _title(document.data, objective, len(objectives)), **written})

    def _add(self, document: Document, place: Place, written: dict[str, Any]) -> None:
        try:
            Prometheus.model_validate(written)
        except ValidationError as error:
            self._problems += [document.problem(place, detail["msg"]) for detail in error.errors(include_url=False)]
            return
        self._imported.objectives.append({"prometheus": written})

    def _target(self, document: Document, place: Place, objective: object) -> float | None:
        if not isinstance(objective, dict):
            self._reject(document, place, "found no mapping, expected an objective")
            return None
        for key in ("indicator", "indicatorRef", "sli", "sliRef", "compositeWeight"):
            if key in objective:
                self._reject(document, (*place, key), "found a composite SLO, which is not supported: import its parts")
                return None
        target, percent = objective.get("target"), objective.get("targetPercent")
        one = (target is None) != (percent is None)
        given = _number(target) if target is not None else _number(percent) / 100
        if not one or not 0 < given <= 1:
            found = f"target {target!r} and targetPercent {percent!r}"
            self._reject(document, place, f"found {found}, expected one of them, above 0 and at most 1 (or 100)")
            return None
        return given

    def _indicator(self, document: Document) -> tuple[Document, Place] | None:
        spec = document.data["spec"]
        for key in ("indicator", "sli"):
            if isinstance(spec.get(key), dict):
                return document, ("spec", key, "spec")
        reference = spec.get("indicatorRef") or spec.get("sliRef")
        for other in self._known:
            if other.data["kind"] == "SLI" and _name(other.data) == reference:
                return other, ("spec",)
        message = f"found no SLI {reference!r} in the files given" if reference else "found no indicator"
        self._reject(document, ("spec", "indicatorRef"), f"{message}, expected one inline or in one of the files")
        return None

    def _written(
        self,
        slo: Document,
        indicator: tuple[Document, Place],
        place: Place,
        objective: Mapping[str, Any],
        target: float,
    ) -> dict[str, Any] | None:
        document, inside = indicator
        spec = _at(document.data, inside)
        threshold, ratio = spec.get("thresholdMetric"), spec.get("ratioMetric")
        if isinstance(threshold, dict) and not ratio:
            query = self._query(document, (*inside, "thresholdMetric"))
            return self._threshold(slo, place, objective, target, query)
        if not isinstance(ratio, dict) or threshold:
            self._reject(document, inside, "found both or neither of ratioMetric and thresholdMetric, expected one")
            return None
        return self._ratio(document, (*inside, "ratioMetric"), ratio, target)

    def _threshold(
        self, slo: Document, place: Place, objective: Mapping[str, Any], target: float, query: str | None
    ) -> dict[str, Any] | None:
        operator, value = OPERATORS.get(str(objective.get("op"))), objective.get("value")
        if operator is None or math.isnan(_number(value)):
            found = f"op {objective.get('op')!r} and value {value!r}"
            self._reject(slo, place, f"found {found}, expected one of {', '.join(OPERATORS)} and a number")
            return None
        # Without `bool` a comparison in PromQL drops the values that do not meet it; with it the mean is the share of
        # good ones.
        return {**self._judged(f"({query}) {operator} bool {value}"), "min": _percent(target)} if query else None

    def _ratio(
        self, document: Document, inside: Place, ratio: Mapping[str, Any], target: float
    ) -> dict[str, Any] | None:
        keys = [key for key in ("good", "bad", "total", "raw") if key in ratio]
        if keys == ["raw"]:
            return self._raw(document, inside, ratio.get("rawType"), target)
        if keys not in (["good", "total"], ["bad", "total"]):
            found = ", ".join(keys) or "nothing"
            self._reject(document, inside, f"found {found}, expected good and total, bad and total, or raw alone")
            return None
        part, total = (self._counted(document, (*inside, key), ratio.get("counter") is True) for key in keys)
        if part is None or total is None:
            return None
        # A counter of errors often has no series before the first error, and a difference with nothing has no value.
        good = part if keys[0] == "good" else f"({total}) - (({part}) or vector(0))"
        exact = {"confidence": None} if target == 1 else {}
        if exact:
            self._note("no number of requests proves 100%: confidence: null compares the measured share itself")
        return {"good": good, "total": total, "min": _percent(target), **exact}

    def _raw(self, document: Document, inside: Place, kind: object, target: float) -> dict[str, Any] | None:
        query = self._query(document, (*inside, "raw"))
        if kind not in ("success", "failure"):
            self._reject(document, (*inside, "rawType"), f"found {kind!r}, expected success or failure")
            return None
        # Rounded, since 1 - 0.999 is 0.0010000000000000009 as a float.
        bound = {"min": _percent(target)} if kind == "success" else {"max": round(1 - target, 12)}
        return {**self._judged(query), **bound} if query else None

    def _judged(self, query: str) -> dict[str, Any]:
        # A query over $window is evaluated only at the end of the phase: earlier, it would read data from before it.
        fitted = self._fitted(query)
        return {"value": fitted} if WINDOW in fitted else {"value": query, "reducer": "mean"}

    def _fitted(self, query: str) -> str:
        fitted = _RANGE.sub(f"[{WINDOW}]", query)
        if fitted != query:
            self._note("fixed ranges were replaced by $window, the length of the phase that is judged")
        return fitted

    def _counted(self, document: Document, place: Place, counter: bool) -> str | None:
        """Return a query that counts events within the phase, or None if it was rejected."""
        query = self._query(document, place)
        if query is None:
            return None
        fitted = self._fitted(query)
        if WINDOW in fitted:
            counted = re.sub(r"\brate\s*\(", "increase(", fitted)
            if counted != fitted:
                self._note("rate was replaced by increase: the share is the same, and it counts requests")
            return counted
        plain = _SUM.fullmatch(fitted)
        if counter and plain:
            return f"sum(increase({plain[1] or plain[2]}[$window]))"
        expected = "a query with a range, or for counter: true one selector, alone or in sum()"
        self._reject(document, place, f"found {query!r}, expected {expected}")
        return None

    def _query(self, document: Document, place: Place) -> str | None:
        metric = _at(document.data, place)
        nested = metric.get("metricSource")
        source: dict[str, Any] = nested if isinstance(nested, dict) else metric
        kind = self._source_kind(source)
        if kind is not None and kind.lower() != "prometheus":
            self._reject(document, place, f"found a metric of {kind}, expected Prometheus")
            return None
        query = (source.get("spec") or {}).get("query") if isinstance(source.get("spec"), dict) else None
        if not isinstance(query, str) or not query.strip():
            self._reject(document, place, "found no spec.query, expected PromQL")
            return None
        text = _WINDOW.sub(WINDOW, " ".join(query.split()))
        back = next((found[1] for found in _BACK.finditer(text) if found[1]), "")
        if back:
            found = back if back in ("offset", "@") else "a subquery"
            self._reject(document, place, f"found {found}, which cannot be limited to a phase")
            return None
        if re.search(r'namespace\s*=~?\s*"(?!\$namespace)', text):
            self._note('a query selects a fixed namespace: use namespace="$namespace" for the experiment\'s namespace')
        return text

    def _source_kind(self, source: Mapping[str, Any]) -> str | None:
        """Return the type of a query's data source, or None if the files do not specify it."""
        if source.get("type"):
            return str(source["type"])
        reference = source.get("metricSourceRef") or source.get("dataSourceRef")
        for document in self._known:
            if reference and document.data["kind"] == "DataSource" and _name(document.data) == reference:
                spec = document.data["spec"]
                return str(spec.get("type") or next((key for key in spec if key != "description"), "")) or None
        inline = next((key for key in source if key not in ("spec", "metricSourceRef", "dataSourceRef", "type")), None)
        return None if reference else inline

    def _note(self, text: str) -> None:
        self._imported.notes.append(text)


def _at(data: Any, place: Place) -> dict[str, Any]:  # noqa: ANN401 - any content of a file
    for part in place:
        data = data.get(part) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _name(data: Mapping[str, Any]) -> str:
    metadata = data.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def _title(slo: Mapping[str, Any], objective: Mapping[str, Any], several: int) -> str:
    name = str(slo["metadata"].get("displayName") or _name(slo))
    return f"{name}: {objective.get('displayName') or objective.get('target')}" if several > 1 else name


def _number(value: object) -> float:
    """Return a number, or NaN for any other value, so that every comparison with it is False."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _percent(share: float) -> str:
    # Rounded, since 0.57 * 100 is 56.99999999999999 as a float.
    return f"{round(share * 100, 10):.12g}%"
