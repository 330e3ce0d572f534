"""What the checks of an experiment know of its workload's custom resources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import Resource
from harness.common.errors import ApiError
from harness.engine.preflight.facts import Facts
from tests.fake_run import EXPERIMENT, Stage, write_workload

DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: oxen.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {plural: oxen, kind: Ox}
  versions: [{name: v1, served: true, storage: true}]
---
"""
OBJECTS = """\
apiVersion: example.org/v1
kind: Ox
metadata: {name: one}
---
apiVersion: example.org/v2
kind: Cow
metadata: {name: two}
"""
OX = Resource("example.org/v1", "oxen", "Ox", namespaced=False)


def _facts(root: Path, manifests: str, *, disruptive: bool) -> Facts:
    stage = Stage(root)
    (write_workload(root) / "custom.yaml").write_text(manifests)
    experiment = stage.experiment(EXPERIMENT.replace("hypothesis:", "disruptive: true\nhypothesis:"))
    stage.cluster = FakeCluster(stage.clock, extra=[OX])
    return Facts.of(stage.run(), replace(experiment, disruptive=disruptive))


def test_built_in_kinds_need_no_request(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    facts = Facts.of(stage.run(), stage.experiment())
    assert (facts.namespace, facts.now, facts.kinds) == (stage.namespace, stage.clock.wall(), {})
    assert stage.cluster.server.calls == []


@pytest.mark.parametrize("disruptive", [True, False])
def test_custom_resources_are_looked_up(tmp_path: Path, disruptive: bool) -> None:
    facts = _facts(tmp_path, OBJECTS, disruptive=disruptive)
    assert facts.kinds == {("example.org/v1", "Ox"): OX, ("example.org/v2", "Cow"): None}
    assert facts.is_cluster_wide({"apiVersion": "example.org/v1", "kind": "Ox"})
    assert not facts.is_cluster_wide({"apiVersion": "example.org/v2", "kind": "Cow"})


@pytest.mark.parametrize(("disruptive", "found"), [(True, ["Cow"]), (False, ["Ox", "Cow"])])
def test_own_definition_is_looked_up_only_for_the_guard(tmp_path: Path, disruptive: bool, found: list[str]) -> None:
    facts = _facts(tmp_path, DEFINITION + OBJECTS, disruptive=disruptive)
    assert [kind for _, kind in facts.kinds] == found


def test_server_error_is_no_missing_kind(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    (write_workload(tmp_path) / "custom.yaml").write_text(OBJECTS)
    stage.cluster.server.fail_next(403, "Forbidden", "no", path="/apis/example.org/")
    with pytest.raises(ApiError, match="403"):
        Facts.of(stage.run(), stage.experiment())
