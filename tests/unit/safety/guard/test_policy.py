"""The guard's file: all mistakes at once, and defaults that depend on whose cluster it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.ownership import Ownership
from harness.common.errors import InputError
from harness.safety.guard.policy import FILE, GuardFile, Policy, load_guard
from harness.safety.guard.safety import Cap, Caps, Safety

OWNED, FOREIGN = FakeCluster(), FakeCluster(ownership=Ownership.FOREIGN)
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
    return load_guard(root / FILE).policy_for(OWNED)


def test_every_option_is_read(tmp_path: Path) -> None:
    policy = _load(tmp_path, WHOLE)
    assert policy.caps.workload == Cap(share=0.5, count=3)
    assert policy.max_duration == 600
    assert policy.windows
    assert policy.windows.exclude == ["2026-12-24"]
    assert policy.refuse_alerts
    assert policy.refuse_alerts.matchers == {"team": "shop"}
    assert load_guard(tmp_path / FILE).contexts == ("kind-*", "staging-*")


def test_all_mistakes_are_listed_with_line_and_field(tmp_path: Path) -> None:
    text = "contexts: ['*']\nbudgets: maybe\ncaps: {workload: {}, nodes: {count: -1}}\nmaxDuration: soon\nunheard: 1\n"
    with pytest.raises(InputError) as caught:
        _load(tmp_path, text)
    told = [str(problem).removeprefix(str(tmp_path / FILE)) for problem in caught.value.problems]
    assert len(told) == 6
    assert any(line.startswith(":1: contexts[0]: found '*', which is every context") for line in told)
    assert any(line.startswith(":3: caps.workload: found neither share nor count") for line in told)
    assert any(line.startswith(":5: unheard: unknown key, expected one of: contexts, ") for line in told)


@pytest.mark.parametrize("text", ["[]", "just words"])
def test_a_file_that_is_no_guard(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="expected a mapping of guard keys"):
        _load(tmp_path, text)


def test_named_guard_file_must_exist(tmp_path: Path) -> None:
    assert GuardFile().policy_for(OWNED) == Policy()
    with pytest.raises(InputError, match="cannot be read"):
        load_guard(tmp_path / "other.yaml")


def _is_lenient(policy: Policy) -> bool:
    lenient = policy.safety_refusals(Safety(last_replica="allowed", budgets="ignored")) == []
    assert lenient is (policy.start_refusals(0.0, 10_000.0) == []) is not policy.opt_in
    return lenient


class Kind(FakeCluster):
    """A kind cluster as the guard sees it; its context is its name."""

    provider = "kind"  # type: ignore[assignment]


@pytest.mark.parametrize("made", [FakeCluster, Kind])
def test_guard_is_lenient_in_owned_clusters(made: type[FakeCluster]) -> None:
    assert _is_lenient(GuardFile().policy_for(made(name="kind-mine")))


class TestForeignKindCluster:
    """Its context is called ``kind-…`` like that of any other, and it may hold anybody's work."""

    def test_guard_is_strict(self) -> None:
        assert not _is_lenient(GuardFile().policy_for(Kind(name="kind-mine", ownership=Ownership.FOREIGN)))

    @pytest.mark.parametrize(("allowed", "lenient"), [("kind-mine", True), ("kind-other", False)])
    def test_cluster_allow_makes_it_lenient(self, allowed: str, lenient: bool) -> None:
        cluster = Kind(name="kind-mine", ownership=Ownership.FOREIGN)
        assert _is_lenient(GuardFile().policy_for(cluster, [allowed])) is lenient

    @pytest.mark.parametrize(("contexts", "lenient"), [("[kind-mi*]", True), ("[kind-ci-*]", False)])
    def test_guard_file_makes_it_lenient(self, tmp_path: Path, contexts: str, lenient: bool) -> None:
        (tmp_path / FILE).write_text(f"contexts: {contexts}\n")
        cluster = Kind(name="kind-mine", ownership=Ownership.FOREIGN)
        assert _is_lenient(load_guard(tmp_path / FILE).policy_for(cluster)) is lenient


def test_allowing_another_cluster_keeps_the_guard_strict(tmp_path: Path) -> None:
    """Without being allowed it could not be used at all, so that says nothing about how."""
    (tmp_path / FILE).write_text("contexts: [staging-*]\n")
    cluster = FakeCluster(name="staging-1", ownership=Ownership.FOREIGN)
    assert not _is_lenient(load_guard(tmp_path / FILE).policy_for(cluster, ["staging-1"]))


def test_foreign_cluster_gets_the_strict_defaults() -> None:
    policy = GuardFile().policy_for(FOREIGN)
    permitted = Safety(last_replica="allowed", budgets="ignored", metrics_api="allowed")
    assert len(policy.safety_refusals(permitted)) == 3
    assert GuardFile().policy_for(OWNED).safety_refusals(permitted) == []
    assert policy.start_refusals(0.0, 901.0) == ["it may take 901 s, but the guard allows at most 900 s"]
    assert policy.opt_in
    assert policy.refuse_alerts
    assert policy.caps.workload == Cap(share=0.5)


def test_file_settings_always_apply_and_the_rest_stays_strict(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("lastReplica: declared\nmaxDuration: 1h\n")
    policy = load_guard(tmp_path / FILE).policy_for(FOREIGN)
    assert policy.safety_refusals(Safety(last_replica="allowed")) == []
    assert policy.start_refusals(0.0, 3600.0) == []
    assert policy.opt_in


def test_a_limit_that_the_file_sets_lifts_no_other(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("caps:\n  namespace: {share: 50%}\n  nodes: null\n")
    caps = load_guard(tmp_path / FILE).policy_for(FOREIGN).caps
    assert (caps.namespace, caps.workload, caps.cluster) == (Cap(share=0.5), Cap(share=0.5), Cap(count=10))
    assert caps.nodes is None


@pytest.mark.parametrize(
    ("namespace", "refused"),
    [("rh-a", ""), ("payments", "protected"), ("shop", "matches none of the guard's namespaces")],
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


@pytest.mark.parametrize(
    ("text", "caps", "last"),
    [
        ("existing: [shop]", Caps(workload=Cap(count=1), namespace=Cap(count=1), nodes=Cap(count=1)), "spared"),
        (
            "existing: {namespaces: [shop], caps: {namespace: {count: 3}}, lastReplica: declared}",
            Caps(workload=Cap(count=1), namespace=Cap(count=3), nodes=Cap(count=1)),
            "declared",
        ),
        (
            "existing: {caps: {workload: null, namespace: {count: 3}}}\ncaps: {workload: {share: 50%}}",
            Caps(workload=Cap(share=0.5), namespace=Cap(count=3), nodes=Cap(count=1)),
            "spared",
        ),
    ],
)
def test_existing_namespaces_have_stricter_limits(tmp_path: Path, text: str, caps: Caps, last: str) -> None:
    policy = _load(tmp_path, text).in_existing()
    assert policy.caps == caps
    assert policy.last_replica == last
