"""The contract of every probe in ``harness/probes``: JSON values, and errors as observations."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from typing import Any

import pytest
from pydantic import BaseModel

import harness.probes
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import Resource
from harness.common.clock import FakeClock
from harness.experiment import registry
from harness.model.timeline import Timeline
from harness.probes.base import ProbeContext, SnapshotProbe, WatchProbe
from harness.probes.standard import standard_probes
from harness.probes.workloads import WorkloadProbe

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(harness.probes.__path__, harness.probes.__name__ + ".")
]
CLASSES = [
    member
    for module in MODULES
    for _, member in inspect.getmembers(module, inspect.isclass)
    if member.__module__ == module.__name__
]
WATCHES = [cls for cls in CLASSES if issubclass(cls, WatchProbe) and cls is not WatchProbe]
# Of a workload with every kind of object that is watched only where there is one.
EVERY = standard_probes([{"kind": kind} for kind in ("Rollout", "VerticalPodAutoscaler", "PersistentVolumeClaim")])
SNAPSHOTS = [cls for cls in CLASSES if issubclass(cls, SnapshotProbe) and hasattr(cls, "kind")]


def label(probe: Any) -> str:
    return f"{type(probe).__name__}-{probe.resource.plural}"


def test_every_snapshot_probe_has_an_example() -> None:
    without = sorted(cls.kind for cls in SNAPSHOTS if not hasattr(cls, "example"))
    assert not without, f"no class attribute `example` in {', '.join(without)}"


def test_probes_are_registered() -> None:
    assert len(WATCHES) >= 6
    assert len(SNAPSHOTS) >= 2


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_probe_module_describes_what_it_observes(module: Any) -> None:
    assert module.__doc__


@pytest.mark.parametrize("cls", WATCHES, ids=lambda cls: cls.__name__)
def test_every_watch_probe_is_registered_and_names_its_series(cls: type[WatchProbe]) -> None:
    assert any(isinstance(probe, cls) for probe in EVERY)
    assert f"``{cls.series}``" in (cls.__doc__ or "")
    import harness.model.timeline

    assert f"``{cls.series}``" in (harness.model.timeline.__doc__ or "")


@pytest.mark.parametrize("probe", EVERY, ids=label)
@pytest.mark.parametrize("event", ["SYNC", "ADDED", "MODIFIED", "DELETED"])
def test_watch_probe_reads_a_minimal_object_and_returns_json(probe: WatchProbe, event: str) -> None:
    bare = {"metadata": {"name": "a", "resourceVersion": "1", "labels": {"kubernetes.io/service-name": "a"}}}
    for sighting in probe.see(event, bare):
        assert isinstance(sighting.subject, str)
        assert json.loads(json.dumps(sighting.value, allow_nan=False)) == sighting.value
        assert sighting.wall is None


def test_standard_probes_are_new_ones_for_every_run() -> None:
    one, other = standard_probes(), standard_probes()
    assert not [probe for probe in one if any(probe is twin for twin in other)]


def test_no_two_probes_watch_the_same_thing() -> None:
    watched = [(probe.resource.plural, probe.selector) for probe in EVERY]
    assert len(watched) == len(set(watched))
    assert all(isinstance(probe.resource, Resource) for probe in EVERY)
    assert {type(probe) for probe in EVERY if probe.series == "workloads"} == {WorkloadProbe}


@pytest.mark.parametrize("cls", SNAPSHOTS, ids=lambda cls: cls.__name__)
def test_snapshot_probe_is_found_by_kind_and_checks_its_keys(cls: Any) -> None:
    assert registry.probes()[cls.kind] is cls
    assert issubclass(cls, BaseModel)
    assert cls.model_config["extra"] == "forbid"
    assert cls.model_config["frozen"]
    assert all(field.description or not field.is_required() for field in cls.model_fields.values())


@pytest.mark.parametrize("cls", SNAPSHOTS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("status", [0, 403, 500])
def test_cluster_failure_becomes_an_observation_with_an_error(cls: Any, status: int) -> None:
    clock = FakeClock()
    cluster, timeline = FakeCluster(clock), Timeline(clock.monotonic(), clock.wall())
    cluster.server.fail_next(status, count=1000)
    cls.model_validate(cls.example).look(ProbeContext(cluster, "shop", timeline, clock))
    assert [seen for seen in timeline if seen.error]
    assert all(seen.value is None for seen in timeline)
