"""How advice is shown: a line, and the patch as YAML to copy."""

from __future__ import annotations

import yaml

from harness.results.advice_record import AdviceRecord
from harness.results.record import ExperimentRecord
from harness.results.reporting.plain import one_line


def line(advice: AdviceRecord) -> str:
    """Return ``likely cause: CAUSE (EVIDENCE)``."""
    kind = {"observed": "cause", "likely": "likely cause", "possible": "possible cause"}[advice.strength]
    return one_line(f"{kind}: {advice.cause} ({advice.evidence})", 600)


def first(record: ExperimentRecord) -> str:
    """Return the line of the best supported advice; empty without any."""
    return line(record.advice[0]) if record.advice else ""


def patch(advice: AdviceRecord) -> str:
    """Return the change as YAML: for each object the fields to set, where null removes one."""
    return yaml.safe_dump(advice.patch, sort_keys=False, allow_unicode=True, width=100) if advice.patch else ""
