"""Least privilege: what the whole catalogue uses is what the derived Roles allow, and one verb less is noticed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import BAD_INPUT, main
from harness.cluster.fake.access import FakeAccess
from harness.cluster.fake.ports import HttpPort
from harness.cluster.kube.permissions import Permission, allow, denied, resource_of, used
from harness.cluster.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, STORAGE_CLASSES
from harness.cluster.kube.roles import roles_for, rules_of
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import CapabilityMissing
from harness.common.naming import SYSTEM_NAMESPACE
from harness.engine.preflight.facts import Facts
from harness.engine.preflight.permissions import needed_by_session, needed_for, useful_to_session
from harness.engine.preflight.requirements import missing, permissions, require, required_capabilities
from harness.engine.runner import Runner
from harness.engine.steps import deploy
from harness.experiment.declaration import Experiment
from harness.experiment.files import experiment_files
from harness.experiment.load import Load
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.experiment.workload_checks.pods import pod_sources
from harness.faults.container_end import MAIN_SCRIPT
from harness.faults.oom_kill import FILL_SCRIPT
from harness.probes.prometheus.query import SERIES
from harness.safety.cleanup import residue
from tests.fake_run import EXPERIMENT, Stage, write_workload
from tests.fake_world import FakeContainers, FakeProcesses

ROOT = Path(__file__).resolve().parents[4]
CATALOGUE = [load_experiment(file, Sources.for_root(ROOT)) for file in experiment_files(ROOT / "experiments")]
DERIVED = frozenset().union(needed_by_session(), useful_to_session(), *map(permissions, CATALOGUE))
NEEDED = frozenset().union(*(needed_for(each, required_capabilities(each)) for each in CATALOGUE))
# What may not be listed for the check of residue is noted in the record, and stops nothing.
OPTIONAL = residue.PERMISSIONS
# The fake cluster has neither a controller of StatefulSets nor nodes to break or to be spread over.


def _init_containers(experiment: Experiment) -> set[str]:
    return {str(each["name"]) for source in pod_sources(experiment.workload.objects) for each in source.initial}


PLAYABLE = [
    experiment
    for experiment in CATALOGUE
    if not experiment.disruptive
    and not any(getattr(fault, "zone", "") for fault in experiment.faults)
    and {item["kind"] for item in experiment.workload.objects} <= {"Deployment", "Service"}
    # A fake cluster runs no init containers.
    and not any(getattr(fault, "container", "") in _init_containers(experiment) for fault in experiment.faults)
]


def _without_load(experiment: Experiment) -> Experiment:
    """As it is, but for what a fake cluster cannot give: users, a Prometheus, and the progress of a rollout."""
    users = {SERIES, "availability", "latency", "errorRate"}
    objectives = tuple(each for each in experiment.objectives if each.kind not in users)
    timings = tuple(each.model_copy(update={"when": None}) for each in experiment.timings)
    return replace(experiment, load=None, prober=(), objectives=objectives, timings=timings)


def _stage(root: Path, granted: Iterable[Permission]) -> Stage:
    stage = Stage(root)
    stage.cluster.server.access = FakeAccess(roles_for(granted, "test"))
    stage.cluster.server.exec = FakeContainers({**FakeProcesses().handlers, MAIN_SCRIPT: _killed, FILL_SCRIPT: _killed})
    stage.cluster.server.forward = lambda _namespace, pod, port: HttpPort(pod, port)
    return stage


def _killed(*_given: object) -> ExecResult:
    """The signal is sent to process 7, and nothing restarts: only the calls matter here."""
    return ExecResult("7 0 0 podinfo\n", "", 0)


@pytest.mark.parametrize("experiment", PLAYABLE, ids=lambda experiment: experiment.name)
def test_catalogue_experiment_uses_only_its_derived_permissions(tmp_path: Path, experiment: Experiment) -> None:
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
def test_creating_and_deleting_needs_only_declared_permissions(tmp_path: Path, text: str, manifest: str) -> None:
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


def test_unknown_kind_is_cluster_wide_only_if_disruptive() -> None:
    widget = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "x"}}
    plain, wide = deploy.needed_for([widget]), deploy.needed_for([widget], disruptive=True)
    assert {each.verb for each in plain} == {"create", "patch", "get", "delete"}
    assert {each.place for each in plain} == {"experiment"}
    assert {each.verb for each in wide - plain} == {"create", "patch", "get", "delete"}
    assert {each.place for each in wide - plain} == {"cluster"}


def test_leftovers_that_could_not_be_checked_are_recorded(tmp_path: Path) -> None:
    stage = _stage(tmp_path, [])
    experiment = stage.experiment()
    stage.cluster.server.access = FakeAccess(roles_for(needed_for(experiment), "test"))
    stage.play(experiment)
    (note,) = [note for note in stage.stored().notes if "not checked for leftovers" in note]
    assert note.startswith("not checked for leftovers, list permission denied: apiservices, clusterrolebindings, ")


def test_most_of_the_catalogue_was_played() -> None:
    assert len(PLAYABLE) >= 4


@pytest.mark.parametrize("left_out", sorted(NEEDED - needed_by_session()), ids=str)
def test_missing_verb_is_named_before_any_change(tmp_path: Path, left_out: Permission) -> None:
    experiment = next(each for each in CATALOGUE if left_out in needed_for(each, required_capabilities(each)))
    stage = _stage(tmp_path, _without(left_out))
    run = replace(stage.run(), prometheus=None)
    named = [
        line for line in missing(run, Facts.of(run, experiment), experiment) if line.startswith("permission denied: ")
    ]
    # The same verb may be needed in one namespace and in all.
    assert {line.partition(" in ")[0] for line in named} == {f"permission denied: {left_out}".partition(" in ")[0]}
    with pytest.raises(CapabilityMissing, match=str(left_out)):
        require(run, experiment)
    assert [call for call in stage.cluster.server.calls if call.writes] == []


def test_missing_optional_permissions_are_skipped_and_recorded(tmp_path: Path) -> None:
    played = _without_load(PLAYABLE[0])
    stage = _stage(tmp_path, needed_for(played))
    Runner(stage.run(), played, "node").run()
    assert [phase.name for phase in stage.stored().phases][-1] == "settle", stage.said
    assert not [call for call in stage.cluster.server.calls if call.path == "/api/v1/nodes" and call.method == "WATCH"]
    told = next(line for line in stage.said if "optional permissions denied" in line)
    assert "watch nodes" in told
    assert "get pods/log in the experiment's namespace" in told


@pytest.mark.parametrize("left_out", sorted(needed_by_session()), ids=str)
def test_missing_session_verb_is_named(tmp_path: Path, left_out: Permission) -> None:
    stage = _stage(tmp_path, _without(left_out))
    assert denied(stage.cluster.api, needed_by_session(), "rh", {}) == [str(left_out)]


def test_all_missing_permissions_are_listed_and_reviewed_once(tmp_path: Path) -> None:
    stage = _stage(tmp_path, [])
    experiment, known = stage.experiment(), dict[Permission, bool]()
    wanted = permissions(experiment)
    assert len(denied(stage.cluster.api, wanted, "rh-x", known)) == len(wanted)
    asked = len(stage.cluster.server.calls)
    denied(stage.cluster.api, wanted, "rh-x", known)
    assert (len(known), asked) == (len(wanted), len(stage.cluster.server.calls))


def test_system_namespace_role_grants_nothing_elsewhere() -> None:
    roles = FakeAccess(roles_for(allow(PODS, "get", place="system"), "x"))
    review = {"spec": {"resourceAttributes": {"verb": "get", "group": "", "resource": "pods", "namespace": "shop"}}}
    assert not roles.review(review)["status"]["allowed"]
    review["spec"]["resourceAttributes"]["namespace"] = SYSTEM_NAMESPACE
    assert roles.review(review)["status"]["allowed"]


def test_rules_cover_every_permission_without_wildcards() -> None:
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


def test_no_role_reads_secrets_edits_nodes_or_extends_itself() -> None:
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
def test_permissions_of_a_call_are_derived(method: str, path: str, expected: str) -> None:
    assert [str(each) for each in used(method, path)] == [expected]


@pytest.mark.parametrize("path", ["/version", "/api/v1", "/apis/apps/v1", "/readyz"])
def test_discovery_needs_no_permission(path: str) -> None:
    assert list(used("GET", path)) == []


def test_exec_covers_old_and_new_api_servers() -> None:
    verbs = [each.verb for each in used("EXEC", "/api/v1/namespaces/a/pods/p/exec")]
    assert verbs == ["get", "create"]


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("NetworkPolicy", "networkpolicies"),
        ("Ingress", "ingresses"),
        ("Widget", "widgets"),
        ("Gateway", "gateways"),
        ("Proxy", "proxies"),
        ("Index", "indexes"),
        ("Match", "matches"),
    ],
)
def test_plurals_of_kinds_that_are_not_known(kind: str, plural: str) -> None:
    assert resource_of("example.org/v1", kind).plural == plural


def test_rbac_prints_what_can_be_applied(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["rbac", "--name", "chaos", "--prometheus", "monitoring/prometheus:9090"]) == 0
    found: list[dict[str, Any]] = list(yaml.safe_load_all(capsys.readouterr().out))
    kinds = [item["kind"] for item in found]
    assert kinds.count("ClusterRole") == kinds.count("ClusterRoleBinding") == 1
    # In the harness's own namespace, in that of Prometheus, and in kube-system for the flags of components.
    assert kinds.count("Role") == kinds.count("RoleBinding") == 3
    proxy = next(item for item in found if item["kind"] == "Role" and item["metadata"]["namespace"] == "monitoring")
    assert proxy["rules"][0]["resourceNames"] == ["prometheus:9090", "https:prometheus:9090"]
    subjects = [item["subjects"][0] for item in found if item["kind"].endswith("Binding")]
    assert subjects == [{"kind": "ServiceAccount", "name": "chaos", "namespace": SYSTEM_NAMESPACE}] * 4


def test_rbac_has_one_role_for_servers_of_one_namespace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["rbac", "--prometheus", "monitoring/prometheus:9090", "--alertmanager", "monitoring/am:9093"]) == 0
    found: list[dict[str, Any]] = list(yaml.safe_load_all(capsys.readouterr().out))
    (role,) = (one for one in found if one["kind"] == "Role" and one["metadata"]["namespace"] == "monitoring")
    assert role["rules"][0]["resourceNames"][::2] == ["prometheus:9090", "am:9093"]


def test_rbac_refuses_a_prometheus_that_names_no_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rbac", "--prometheus", "somewhere"]) == BAD_INPUT
    assert "--prometheus: found 'somewhere', expected NAMESPACE/SERVICE:PORT" in capsys.readouterr().err
    assert main(["rbac", "--alertmanager", "a/b"]) == BAD_INPUT
    assert "--alertmanager: found 'a/b'" in capsys.readouterr().err


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


def test_a_locustfile_creates_nothing_for_prometheus() -> None:
    with_load = next(each for each in CATALOGUE if each.load)
    own = Load.model_validate({"locustfile": "x.py", "users": 1, "target": "service/podinfo"})
    made = allow(ENDPOINT_SLICES, "create")
    assert made <= needed_for(with_load, required_capabilities(with_load))
    assert not made & needed_for(replace(with_load, load=own), required_capabilities(with_load))
