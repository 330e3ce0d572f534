"""Advice explains a verdict, and never changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.advice.case import replicas_of
from tests.fake_run import Stage


def test_error_in_a_rule_leaves_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_given: object) -> None:
        raise TypeError("a bug")

    verdict = Stage(tmp_path / "sound").play().verdict
    monkeypatch.setattr("harness.engine.record_keeping.describe_advice", fails)
    record = Stage(tmp_path / "failing").play()
    assert (record.verdict, record.stage) == (verdict, "closed")
    assert "no advice: TypeError: a bug" in record.notes


@pytest.mark.parametrize(("spec", "expected"), [({}, 1), ({"replicas": None}, 1), ({"replicas": 0}, 0)])
def test_replicas_without_a_number_are_one(spec: dict[str, int | None], expected: int) -> None:
    assert replicas_of({"spec": spec}) == expected
