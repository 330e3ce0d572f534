"""Several guard files: all of them apply, the stricter value holds, and what cannot be combined is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.ownership import Ownership
from harness.common.errors import InputError
from harness.common.project import Project
from harness.safety.guard.files import find_guard
from harness.safety.guard.policy import FILE, Policy
from harness.safety.guard.safety import Cap


def _both(root: Path, above: str, below: str) -> Policy:
    inner = root / "inner"
    inner.mkdir()
    (root / FILE).write_text(above)
    (inner / FILE).write_text(below)
    return find_guard(Project.of([inner])).guard.policy_for(FakeCluster(ownership=Ownership.FOREIGN))


@pytest.mark.parametrize(
    ("one", "other", "field", "expected"),
    [
        ("maxDuration: 1m", "maxDuration: 1h", "max_duration", 60.0),
        ("maxDuration: null", "maxDuration: 1h", "max_duration", 3600.0),
        ("optIn: false", "optIn: true", "opt_in", True),
        ("lastReplica: spared", "lastReplica: declared", "last_replica", "spared"),
        ("budgets: respected", "budgets: declared", "budgets", "respected"),
        ("metricsApi: spared", "metricsApi: declared", "metrics_api", "spared"),
        ("namespaces: ['sandbox-*']", "namespaces: ['*']", "namespaces", ["sandbox-*"]),
        ("namespaces: ['a-*', 'b-1']", "namespaces: ['b-*', 'a-1']", "namespaces", ["a-1", "b-1"]),
        ("contexts: [kind-*]", "contexts: [kind-a, prod]", "contexts", ["kind-a"]),
        ("refuseAlerts: null", "refuseAlerts: {severity: [page]}", "refuse_alerts", ["page"]),
    ],
)
def test_stricter_value_holds(tmp_path: Path, one: str, other: str, field: str, expected: object) -> None:
    (tmp_path / "swapped").mkdir()
    for root, files in ((tmp_path, (one, other)), (tmp_path / "swapped", (other, one))):
        (root / ".git").mkdir()
        _hold(_both(root, *files), field, expected)


def _hold(policy: Policy, field: str, expected: object) -> None:
    found = getattr(policy, field)
    found = found.severity if field == "refuse_alerts" else found
    assert (sorted(found) if isinstance(found, list) else found) == expected


def test_caps_and_protected_namespaces_are_joined(tmp_path: Path) -> None:
    policy = _both(
        tmp_path,
        "protected: [a]\ncaps: {workload: {share: 50%, count: 5}, nodes: null}\n",
        "protected: [b]\ncaps: {workload: {count: 2}, nodes: {count: 3}}\n",
    )
    assert sorted(policy.protected) == ["a", "b"]
    assert policy.caps.workload == Cap(share=0.5, count=2)
    assert policy.caps.nodes == Cap(count=3)
    assert policy.caps.cluster == Cap(count=10)


def test_option_missing_in_one_file_comes_from_the_other(tmp_path: Path) -> None:
    policy = _both(tmp_path, "optIn: false\n", "maxDuration: 3s\n")
    assert (policy.opt_in, policy.max_duration) == (False, 3.0)


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        ("namespaces: [a]", "namespaces: [b]", "namespaces"),
        ("namespaces: ['a?']", "namespaces: ['a*']", "namespaces"),
        ("contexts: [kind-a]", "contexts: [kind-b]", "contexts"),
        ("windows: {allow: [Mon 09:00-10:00]}", "windows: {allow: [Tue 09:00-10:00]}", "windows"),
    ],
)
def test_values_that_cannot_both_hold_are_refused(tmp_path: Path, one: str, other: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        _both(tmp_path, one, other)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert {str(tmp_path / FILE), str(tmp_path / "inner" / FILE)} == {
        str(problem.file),
        problem.message.split(" in ")[-1],
    }


def test_search_ends_at_the_repository(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    (tmp_path / FILE).write_text("maxDuration: 1s\n")
    assert find_guard(Project.of([inner])).files == ()


def test_search_ends_at_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "home" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / FILE).write_text("maxDuration: 1s\n")
    assert find_guard(Project.of([inner])).files == ()
    (tmp_path / "home" / FILE).write_text("maxDuration: 1s\n")
    assert find_guard(Project.of([inner])).files == (tmp_path / "home" / FILE,)


def test_file_reached_by_two_paths_is_one(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / FILE).write_text("maxDuration: 1s\n")
    (tmp_path / "link").symlink_to(real)
    assert len(find_guard(Project.of([tmp_path / "link", real])).files) == 1


def test_dangling_link_is_a_guard_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="cannot be read"):
        find_guard(Project.of([tmp_path]))


def test_named_file_replaces_the_found_ones_and_names_them(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("maxDuration: 1s\n")
    (tmp_path / "own.yaml").write_text("maxDuration: 1h\n")
    found = find_guard(Project.of([tmp_path]), tmp_path / "own.yaml")
    assert found.guard.policy_for(FakeCluster(ownership=Ownership.FOREIGN)).max_duration == 3600.0
    assert f"not used: {tmp_path / FILE}" in found.describe(Project.of([tmp_path]))
