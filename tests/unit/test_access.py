"""Least privilege: what the whole catalogue uses is what the derived Roles allow, and one verb less is noticed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import arrange, residue
from harness.access import needed_by_session, needed_for, useful_to_session
from harness.cli import BAD_INPUT, main
from harness.cluster.fake_access import FakeAccess
from harness.cluster.permissions import Permission, allow, denied, resource_of, used
from harness.cluster.resources import CONFIG_MAPS, PODS, STORAGE_CLASSES
from harness.cluster.roles import roles_for, rules_of
from harness.errors import CapabilityMissing
from harness.experiment import Experiment
from harness.items import experiment_files
from harness.loading import load_experiment
from harness.naming import SYSTEM_NAMESPACE
from harness.probes.prometheus_query import SERIES
from harness.requirements import capabilities_asked, missing, permissions, require
from harness.runner import Runner
from harness.sources import Sources
from tests.fake_run import EXPERIMENT, Stage, write_workload
from tests.fake_world import FakeProcesses

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = [load_experiment(file, Sources.for_root(ROOT)) for file in experiment_files(ROOT / "experiments")]
DERIVED = frozenset().union(needed_by_session(), useful_to_session(), *map(permissions, CATALOGUE))
NEEDED = frozenset().union(*(needed_for(each, capabilities_asked(each)) for each in CATALOGUE))
# What may not be listed for the check of residue is noted in the record, and stops nothing.
OPTIONAL = residue.PERMISSIONS
# The fake cluster has neither a controller of StatefulSets nor nodes to break.
PLAYABLE = [
    experiment
    for experiment in CATALOGUE
    if not experiment.disruptive and {item["kind"] for item in experiment.workload.objects} <= {"Deployment", "Service"}
]


def _without_load(experiment: Experiment) -> Experiment:
    """As it is, but for what a fake cluster cannot give: users and a Prometheus."""
    users = {SERIES, "availability", "latency", "errorRate"}
    objectives = tuple(each for each in experiment.objectives if each.kind not in users)
    return replace(experiment, load=None, prober=(), objectives=objectives)


def _stage(root: Path, granted: Iterable[Permission]) -> Stage:
    stage = Stage(root)
    stage.cluster.server.access = FakeAccess(roles_for(granted, "test"))
    stage.cluster.server.exec = FakeProcesses()
    return stage


@pytest.mark.parametrize("experiment", PLAYABLE, ids=lambda experiment: experiment.name)
def test_an_experiment_of_the_catalogue_uses_no_more_than_its_own_roles_allow(
    tmp_path: Path, experiment: Experiment
) -> None:
    played = _without_load(experiment)
    granted = permissions(played)
    stage = _stage(tmp_path, granted)
    Runner(stage.run(), played, "node").run()
    forbidden = [
        call for call in stage.cluster.server.calls if not _allowed(call.method, call.path, granted | OPTIONAL)
    ]
    assert forbidden == []
    assert stage.namespaces() == []
    assert [phase.name for phase in stage.stored().phases][-1] == "settle", stage.said


CLASS = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: shop-disks}
provisioner: example.org/none
"""
FAULTLESS = (
    EXPERIMENT[: EXPERIMENT.index("faults:")] + "objectives:\n  - replicas: {of: deployment/shop, neverBelow: 2}\n"
)


@pytest.mark.parametrize("text", [EXPERIMENT, FAULTLESS], ids=["with a fault", "without faults"])
@pytest.mark.parametrize("manifest", ["", CLASS], ids=["in its namespace", "and in none"])
def test_what_is_made_and_taken_away_needs_what_is_declared(tmp_path: Path, text: str, manifest: str) -> None:
    """Both ways for what stands in the journal and for what belongs to no namespace, under Roles that say no more."""
    if manifest:
        (write_workload(tmp_path) / "class.yaml").write_text(manifest)
    stage = _stage(tmp_path, [])
    experiment = stage.experiment(text)
    granted = permissions(experiment)
    stage.cluster.server.access = FakeAccess(roles_for(granted, "test"))
    stage.play(experiment)
    calls = stage.cluster.server.calls
    assert [call for call in calls if not _allowed(call.method, call.path, granted | OPTIONAL)] == []
    assert stage.namespaces() == []
    assert stage.cluster.server.store.list(STORAGE_CLASSES) == []
    needed = {each for call in calls for each in used(call.method, call.path)}
    declared = {each for each in granted if each.resource in {CONFIG_MAPS.plural, STORAGE_CLASSES.plural}}
    # An apply that finds nothing creates, which no path tells.
    assert {each for each in declared - needed if each.verb != "create"} == set()
    assert len(declared) == (7 if manifest else 3)


def test_a_kind_that_only_a_cluster_can_place_is_cluster_wide_in_a_disruptive_experiment_alone() -> None:
    widget = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "x"}}
    plain, wide = arrange.needed_for([widget]), arrange.needed_for([widget], disruptive=True)
    assert {(each.place, each.verb) for each in plain} == {("experiment", "create"), ("experiment", "patch")}
    assert {each.verb for each in wide - plain} == {"create", "patch", "get", "delete"}
    assert {each.place for each in wide - plain} == {"cluster"}


def test_residue_that_could_not_be_looked_for_is_told_in_the_record(tmp_path: Path) -> None:
    stage = _stage(tmp_path, [])
    experiment = stage.experiment()
    stage.cluster.server.access = FakeAccess(roles_for(needed_for(experiment), "test"))
    stage.play(experiment)
    (note,) = [note for note in stage.stored().notes if "not checked for residue" in note]
    assert note.startswith("not checked for residue, since it may not be listed: apiservices, clusterrolebindings, ")


def test_most_of_the_catalogue_was_played() -> None:
    assert len(PLAYABLE) >= 4


@pytest.mark.parametrize("left_out", sorted(NEEDED - needed_by_session()), ids=str)
def test_one_verb_less_is_named_before_anything_is_touched(tmp_path: Path, left_out: Permission) -> None:
    experiment = next(each for each in CATALOGUE if left_out in needed_for(each, capabilities_asked(each)))
    stage = _stage(tmp_path, _without(left_out))
    run = replace(stage.run(), prometheus=None)
    named = [line for line in missing(run, experiment) if line.startswith("may not ")]
    # The same verb may be needed in one namespace and in all.
    assert {line.partition(" in ")[0] for line in named} == {f"may not {left_out}".partition(" in ")[0]}
    with pytest.raises(CapabilityMissing, match=str(left_out)):
        require(run, experiment)
    assert [call for call in stage.cluster.server.calls if call.writes] == []


def test_an_experiment_runs_without_what_only_shows_more_and_tells_what_it_does_not_see(tmp_path: Path) -> None:
    played = _without_load(PLAYABLE[0])
    stage = _stage(tmp_path, needed_for(played))
    Runner(stage.run(), played, "node").run()
    assert [phase.name for phase in stage.stored().phases][-1] == "settle", stage.said
    assert not [call for call in stage.cluster.server.calls if call.path == "/api/v1/nodes" and call.method == "WATCH"]
    told = next(line for line in stage.said if "goes without what is not allowed" in line)
    assert "watch nodes" in told
    assert "get pods/log in the experiment's namespace" in told


@pytest.mark.parametrize("left_out", sorted(needed_by_session()), ids=str)
def test_one_verb_less_for_the_session_is_named(tmp_path: Path, left_out: Permission) -> None:
    stage = _stage(tmp_path, _without(left_out))
    assert denied(stage.cluster.api, needed_by_session(), "rh", {}) == [str(left_out)]


def test_everything_that_is_missing_is_named_at_once_and_asked_once(tmp_path: Path) -> None:
    stage = _stage(tmp_path, [])
    experiment, known = stage.experiment(), dict[Permission, bool]()
    wanted = permissions(experiment)
    assert len(denied(stage.cluster.api, wanted, "rh-x", known)) == len(wanted)
    asked = len(stage.cluster.server.calls)
    denied(stage.cluster.api, wanted, "rh-x", known)
    assert (len(known), asked) == (len(wanted), len(stage.cluster.server.calls))


def test_a_role_of_the_system_namespace_allows_nothing_elsewhere() -> None:
    roles = FakeAccess(roles_for(allow(PODS, "get", place="system"), "x"))
    review = {"spec": {"resourceAttributes": {"verb": "get", "group": "", "resource": "pods", "namespace": "shop"}}}
    assert not roles.review(review)["status"]["allowed"]
    review["spec"]["resourceAttributes"]["namespace"] = SYSTEM_NAMESPACE
    assert roles.review(review)["status"]["allowed"]


def test_no_rule_has_a_wildcard_and_every_permission_is_in_the_rules() -> None:
    rules = rules_of(DERIVED)
    said = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert said == {(each.group, each.resource, each.verb) for each in DERIVED}
    assert not any("*" in part for each in said for part in each)


def test_no_derived_role_can_read_secrets_change_nodes_or_give_itself_more() -> None:
    plain = frozenset().union(*(permissions(each) for each in CATALOGUE if not each.disruptive))
    assert not {each for each in plain if each.resource == "secrets" or each.group == "rbac.authorization.k8s.io"}
    assert {each.verb for each in plain if each.resource == "nodes"} <= {"get", "list", "watch"}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/namespaces/a/pods", "list pods in the experiment's namespace"),
        ("GET", "/api/v1/namespaces/a/pods/p", "get pods in the experiment's namespace"),
        ("WATCH", "/api/v1/nodes", "watch nodes"),
        ("DELETE", "/api/v1/namespaces/a", "delete namespaces"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d", "patch deployments.apps in the experiment's namespace"),
        ("POST", "/api/v1/namespaces/a/pods/p/eviction", "create pods/eviction in the experiment's namespace"),
        ("PUT", f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/c", f"update configmaps in {SYSTEM_NAMESPACE}"),
    ],
)
def test_what_a_call_uses(method: str, path: str, expected: str) -> None:
    assert [str(each) for each in used(method, path)] == [expected]


@pytest.mark.parametrize("path", ["/version", "/api/v1", "/apis/apps/v1", "/readyz"])
def test_discovery_needs_nothing(path: str) -> None:
    assert list(used("GET", path)) == []


def test_a_command_in_a_container_needs_what_old_and_new_api_servers_ask() -> None:
    verbs = [each.verb for each in used("EXEC", "/api/v1/namespaces/a/pods/p/exec")]
    assert verbs == ["get", "create"]


@pytest.mark.parametrize(
    ("kind", "plural"), [("NetworkPolicy", "networkpolicies"), ("Ingress", "ingresses"), ("Widget", "widgets")]
)
def test_plurals_of_kinds_that_are_not_known(kind: str, plural: str) -> None:
    assert resource_of("example.org/v1", kind).plural == plural


def test_rbac_prints_what_can_be_applied(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["rbac", "--name", "chaos", "--prometheus", "monitoring/prometheus:9090"]) == 0
    found: list[dict[str, Any]] = list(yaml.safe_load_all(capsys.readouterr().out))
    kinds = [item["kind"] for item in found]
    assert kinds.count("ClusterRole") == kinds.count("ClusterRoleBinding") == 1
    assert kinds.count("Role") == kinds.count("RoleBinding") == 2
    proxy = next(item for item in found if item["kind"] == "Role" and item["metadata"]["namespace"] == "monitoring")
    assert proxy["rules"][0]["resourceNames"] == ["prometheus:9090", "https:prometheus:9090"]
    subjects = [item["subjects"][0] for item in found if item["kind"].endswith("Binding")]
    assert subjects == [{"kind": "ServiceAccount", "name": "chaos", "namespace": SYSTEM_NAMESPACE}] * 3


def test_rbac_refuses_a_prometheus_that_names_no_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rbac", "--prometheus", "somewhere"]) == BAD_INPUT
    assert "--prometheus: found 'somewhere', expected NAMESPACE/SERVICE:PORT" in capsys.readouterr().err


def _allowed(method: str, path: str, granted: frozenset[Permission]) -> bool:
    return all(each in granted for each in used(method, path))


def _without(left_out: Permission) -> set[Permission]:
    """A verb in a ClusterRole holds in every namespace, so it goes from all; one for a single namespace goes alone."""
    named = (left_out.group, left_out.resource, left_out.verb)
    return {
        each
        for each in DERIVED
        if (each.group, each.resource, each.verb) != named or (each.place == "system" != left_out.place)
    }
