"""The guard's file: all mistakes at once, and defaults that depend on whose cluster it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.guard.policy import FILE, Policy, load_guard
from harness.guard.safety import Cap, Safety

WHOLE = """\
contexts: [kind-*, staging-*]
namespaces: [rh-*]
protected: [payments]
optIn: true
caps:
  workload: {share: 50%, count: 3}
  nodes: {count: 1}
maxDuration: 10m
windows: {timeZone: Europe/Berlin, allow: [Mon-Fri 09:00-16:00], exclude: [2026-12-24]}
lastReplica: spared
budgets: respected
refuseAlerts: {severity: [critical, page], matchers: {team: shop}}
"""


def _load(root: Path, text: str) -> Policy:
    (root / FILE).write_text(text)
    return load_guard(root).policy_for("local")


def test_everything_can_be_said(tmp_path: Path) -> None:
    policy = _load(tmp_path, WHOLE)
    assert policy.caps.workload == Cap(share=0.5, count=3)
    assert policy.max_duration == 600
    assert policy.windows
    assert policy.windows.exclude == ["2026-12-24"]
    assert policy.refuse_alerts
    assert policy.refuse_alerts.matchers == {"team": "shop"}
    assert load_guard(tmp_path).contexts == ("kind-*", "staging-*")


def test_all_mistakes_are_told_at_once_with_line_and_field(tmp_path: Path) -> None:
    text = "contexts: ['*']\nbudgets: maybe\ncaps: {workload: {}, nodes: {count: -1}}\nmaxDuration: soon\nunheard: 1\n"
    with pytest.raises(InputError) as caught:
        _load(tmp_path, text)
    told = [str(problem).removeprefix(str(tmp_path / FILE)) for problem in caught.value.problems]
    assert len(told) == 6
    assert any(line.startswith(":1: contexts[0]: found '*', which is every context") for line in told)
    assert any(line.startswith(":3: caps.workload: found neither share nor count") for line in told)
    assert any(line == ":5: unheard: unknown key" for line in told)


@pytest.mark.parametrize("text", ["[]", "just words"])
def test_a_file_that_is_no_guard(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="expected a guard's keys"):
        _load(tmp_path, text)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert load_guard(tmp_path).policy_for("local") == Policy()
    with pytest.raises(InputError, match="cannot be read"):
        load_guard(tmp_path, "other.yaml")


@pytest.mark.parametrize("provider", ["local", "kind", "fake"])
def test_clusters_of_ours_are_made_to_be_broken(tmp_path: Path, provider: str) -> None:
    policy = load_guard(tmp_path).policy_for(provider)  # type: ignore[arg-type]
    assert policy.safety_refusals(Safety(last_replica="allowed", budgets="ignored")) == []
    assert policy.start_refusals(0.0, 10_000.0) == []
    assert not policy.opt_in


def test_any_other_cluster_is_somebody_s(tmp_path: Path) -> None:
    policy = load_guard(tmp_path).policy_for("kubeconfig")
    assert len(policy.safety_refusals(Safety(last_replica="allowed", budgets="ignored"))) == 2
    assert policy.start_refusals(0.0, 901.0) == ["it may take 901 s, and the guard allows 900 s"]
    assert policy.opt_in
    assert policy.refuse_alerts
    assert policy.caps.workload == Cap(share=0.5)


def test_what_the_file_says_counts_on_every_cluster_and_the_rest_stays_strict(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("lastReplica: declared\nmaxDuration: 1h\n")
    policy = load_guard(tmp_path).policy_for("kubeconfig")
    assert policy.safety_refusals(Safety(last_replica="allowed")) == []
    assert policy.start_refusals(0.0, 3600.0) == []
    assert policy.opt_in


def test_a_limit_that_the_file_sets_lifts_no_other(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("caps:\n  namespace: {share: 50%}\n  nodes: null\n")
    caps = load_guard(tmp_path).policy_for("kubeconfig").caps
    assert (caps.namespace, caps.workload, caps.cluster) == (Cap(share=0.5), Cap(share=0.5), Cap(count=10))
    assert caps.nodes is None


@pytest.mark.parametrize(
    ("namespace", "refused"), [("rh-a", ""), ("payments", "protected"), ("shop", "none of those that may be hit")]
)
def test_namespaces(tmp_path: Path, namespace: str, refused: str) -> None:
    found = _load(tmp_path, "namespaces: [rh-*, pay*]\nprotected: [payments]\n").namespace_refusal(namespace)
    assert refused in (found or "")
    assert bool(found) is bool(refused)


@pytest.mark.parametrize(
    ("cap", "hit", "total", "allowed"),
    [
        (Cap(share=0.5), 1, 2, True),
        (Cap(share=0.5), 2, 3, False),
        (Cap(share=1 / 3), 1, 3, True),
        (Cap(count=2), 2, 100, True),
        (Cap(count=2), 3, 100, False),
        (Cap(share=0.5, count=2), 3, 10, False),
        (Cap(share=0.1, count=2), 2, 10, False),
        (Cap(count=0), 1, 1, False),
    ],
)
def test_caps(cap: Cap, hit: int, total: int, allowed: bool) -> None:
    assert cap.allows(hit, total) is allowed
