"""What the API server must allow for a workload's own objects is asked before anything is deployed, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.cluster.fake.access import FakeAccess
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube import published
from harness.cluster.kube.permissions import Permission, allow, is_guess, resource_of
from harness.cluster.kube.resources import Resource
from harness.cluster.kube.roles import roles_for, rules_of
from harness.common.errors import CapabilityMissing
from harness.engine.preflight.requirements import permissions, require
from harness.engine.runner import Runner
from harness.experiment.declaration import Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import Stage, write_project


@pytest.mark.parametrize(("api_version", "kind"), sorted(published.kinds()))
def test_builtin_kinds_are_not_guessed(api_version: str, kind: str) -> None:
    assert not is_guess(api_version, kind)
    assert resource_of(api_version, kind) == published.kinds()[api_version, kind]


ROLES = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: leader}
rules:
  - {apiGroups: [""], resources: [endpoints], resourceNames: [shop], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: leader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: leader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: view}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
---
apiVersion: v1
kind: Endpoints
metadata: {name: shop}
---
apiVersion: example.org/v1
kind: Ox
metadata: {name: shop}
"""
GRANTED = {
    Permission("experiment", "", "endpoints", "get", "shop"),
    Permission("experiment", "", "endpoints", "update", "shop"),
}
BIND = Permission("experiment", "rbac.authorization.k8s.io", "clusterroles", "bind", "view")
ESCALATE = Permission("experiment", "rbac.authorization.k8s.io", "roles", "escalate")


def _with_roles(root: Path) -> tuple[Stage, Experiment]:
    stage = Stage(root)
    stage.cluster = FakeCluster(stage.clock, extra=[Resource("example.org/v1", "oxen", "Ox")])
    file = write_project(root)
    (root / "experiments" / "workloads" / "shop" / "roles.yaml").write_text(ROLES)
    return stage, load_experiment(file, Sources.for_root(root))


def test_creating_roles_needs_the_granted_permissions(tmp_path: Path) -> None:
    _, experiment = _with_roles(tmp_path)
    found = permissions(experiment)
    assert found >= GRANTED | {BIND}
    assert ESCALATE not in found
    (rule,) = [rule for rule in rules_of(found) if rule.get("resourceNames") == ["view"]]
    assert rule["verbs"] == ["bind"]


def test_all_denied_permissions_are_listed_together(tmp_path: Path) -> None:
    stage, experiment = _with_roles(tmp_path)
    own = {"endpoints", "roles", "rolebindings", "oxen", "clusterroles"}
    allowed = {each for each in permissions(experiment) if each.resource not in own}
    stage.cluster.server.access = FakeAccess(roles_for(allowed, "test"))
    with pytest.raises(CapabilityMissing) as caught:
        require(stage.run(), experiment)
    here = " in the experiment's namespace"
    assert str(caught.value).split("; ") == [
        f"permission denied: create endpoints{here}",
        f"permission denied: patch endpoints{here}",
        f"permission denied: create oxen.example.org{here}",
        f"permission denied: delete oxen.example.org{here}",
        f"permission denied: get oxen.example.org{here}",
        f"permission denied: patch oxen.example.org{here}",
        f"permission denied: create rolebindings.rbac.authorization.k8s.io{here}",
        f"permission denied: patch rolebindings.rbac.authorization.k8s.io{here}",
        f"permission denied: create roles.rbac.authorization.k8s.io{here}",
        f"permission denied: patch roles.rbac.authorization.k8s.io{here}",
        f"permission denied: escalate roles.rbac.authorization.k8s.io{here}, but the workload's roles grant it: "
        f"get endpoints shop{here}, update endpoints shop{here}",
        f"permission denied: bind clusterroles.rbac.authorization.k8s.io view{here}",
    ]  # fmt: skip
    assert not [call for call in stage.cluster.server.calls if call.writes]


@pytest.mark.parametrize("granting", [GRANTED, {ESCALATE}], ids=["what they grant", "escalate"])
def test_either_way_to_create_roles_is_enough(tmp_path: Path, granting: set[Permission]) -> None:
    stage, experiment = _with_roles(tmp_path)
    oxen = allow(Resource("example.org/v1", "oxen", "Ox"), "create", "patch", "get", "delete")
    allowed = (permissions(experiment) - GRANTED) | granting | oxen
    stage.cluster.server.access = FakeAccess(roles_for(allowed, "test"))
    require(stage.run(), experiment)


def test_a_kind_that_the_cluster_lacks_is_reported(tmp_path: Path) -> None:
    stage, experiment = _with_roles(tmp_path)
    stage.cluster = FakeCluster(stage.clock)
    with pytest.raises(
        CapabilityMissing, match=r"^the cluster has no Ox in example.org/v1: install its CustomResourceDef"
    ):
        require(stage.run(), experiment)


def test_rbac_marks_guessed_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _with_roles(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["rbac"]) == 0
    guess = "# guessed: oxes of Ox in example.org/v1; compare it with `kubectl api-resources`"
    assert capsys.readouterr().out.splitlines()[0] == guess


def _deployed(stage: Stage, experiment: Experiment) -> str:
    """The reason of the verdict, once it was run."""
    return Runner(stage.run(), experiment, "node").run().reason


def test_all_objects_that_the_server_refuses_are_reported(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for path in ("/deployments/shop", "/services/shop"):
        stage.cluster.server.fail_next(422, "Invalid", "bad", path=path, dry_run=True)
    reason = _deployed(stage, stage.experiment())
    assert reason.count("was rejected: 422 Invalid") == 2
    assert "deployment/shop was rejected" in reason
    assert not [call for call in stage.cluster.server.calls if call.writes and "/shop" in call.path]


@pytest.mark.parametrize("message", ["admission webhook x does not support dry run", "quota"])
def test_inconclusive_dry_run_stops_nothing(tmp_path: Path, message: str) -> None:
    stage = Stage(tmp_path)
    stage.cluster.server.fail_next(403 if message == "quota" else 400, "x", message, path="/services/", dry_run=True)
    assert "refused" not in _deployed(stage, stage.experiment())
    assert [call for call in stage.cluster.server.calls if call.writes and "/services/shop" in call.path]
