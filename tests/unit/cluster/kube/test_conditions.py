"""Conditions of objects: there and True, or not."""

from __future__ import annotations

from harness.cluster.kube.conditions import holds


def test_a_condition_counts_only_when_it_is_true() -> None:
    node = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "Other", "status": "True"}]}}
    assert not holds(node, "Ready")
    assert holds(node, "Other")
    assert not holds({}, "Ready")
    assert not holds({"status": None}, "Ready")
