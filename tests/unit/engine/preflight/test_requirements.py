"""What an experiment asks of a Prometheus is held against the one that is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import VERTICAL_AUTOSCALERS
from harness.cluster.protocol import Capability
from harness.common.errors import CapabilityMissing
from harness.engine.preflight.facts import Facts
from harness.engine.preflight.requirements import missing, require
from harness.engine.steps.reach import needed_for
from harness.experiment.load_place import LoadFrom
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.objectives.prometheus import Prometheus as Asking
from harness.prometheus.client import Prometheus, PrometheusError
from harness.traffic.target.declaration import Target
from tests.fake_run import EXPERIMENT, SERVICE, Stage, write_project


@dataclass
class Scraping:
    """A Prometheus that says how often it scrapes, or does not."""

    interval: float | None

    def scrape_interval(self) -> float:
        if self.interval is None:
            raise PrometheusError("gone")
        return self.interval


def lacking(root: Path, interval: float | None, **phases: float) -> list[str]:
    stage = Stage(root)
    found: Any = stage.experiment()
    asking = Asking(name="members", value="up", min=1, phases=("settle",))
    found = replace(found, objectives=(asking,), phases=found.phases.model_copy(update=phases))
    run = replace(stage.run(), prometheus=cast(Prometheus, Scraping(interval)))
    return missing(run, Facts.of(run, found), found)


@pytest.mark.parametrize("length", [60.0, 61.0])
def test_phases_of_four_scrapes_are_enough(tmp_path: Path, length: float) -> None:
    assert lacking(tmp_path, 15.0, baseline=length, settle=length) == []


def test_phase_too_short_for_the_real_interval_is_reported(tmp_path: Path) -> None:
    (why,) = lacking(tmp_path, 15.0, baseline=60.0, settle=59.0)
    assert why == "Prometheus scrapes too rarely for a settle of 59 s: at least 60 s needed"


def test_silent_prometheus_is_reported(tmp_path: Path) -> None:
    assert lacking(tmp_path, None, baseline=60.0, settle=60.0) == ["the cluster's Prometheus does not answer: gone"]


def test_all_missing_requirements_are_listed_together(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.cluster._images = ()
    asking = Asking(name="members", value="up", min=1)
    wanting = replace(stage.experiment(), objectives=(asking,))
    with pytest.raises(CapabilityMissing, match="no image podinfo; no Prometheus found, needed for members"):
        require(stage.run(), wanting)


LOADED = EXPERIMENT.replace("faults:", "load: {rate: 5/s, target: service/shop}\nfaults:", 1)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("type: NodePort", ["reach a NodePort Service from the load generator"]),
        ("type: LoadBalancer", []),
        ("type: ClusterIP", ["Service shop is of type ClusterIP, so it can be reached only inside the cluster"]),
        ("clusterIP: None", ["Service shop is headless, so it can be reached only inside the cluster"]),
    ],
)
@pytest.mark.parametrize("place", ["machine", "auto"])
def test_target_out_of_reach_is_reported(tmp_path: Path, spec: str, told: list[str], place: LoadFrom) -> None:
    """Only if the load must come from this machine: by default it then comes from the cluster."""
    stage = Stage(tmp_path)
    stage.cluster._capabilities = frozenset(Capability) - {Capability.LOAD_BALANCED_SERVICE}
    write_project(tmp_path, LOADED)
    file = tmp_path / "experiments" / "workloads" / "shop" / "service.yaml"
    manifest = SERVICE.replace("type: NodePort", spec)
    file.write_text(manifest if "NodePort" in spec else manifest.replace(", nodePort: 30080", ""))
    experiment = load_experiment(tmp_path / "experiments" / "one-killed.yaml", Sources.for_root(tmp_path))
    run = replace(stage.run(), load_from=place)
    assert missing(run, Facts.of(run, experiment), experiment) == (told if place == "machine" else [])
    stage.cluster._capabilities -= {Capability.LOCAL_IMAGES}
    if place == "auto":
        assert missing(run, Facts.of(run, experiment), experiment) == [
            *(
                ["reach a NodePort Service from the load generator"]
                if spec in {"type: NodePort", "type: LoadBalancer"}
                else []
            ),
            "the load must be generated in the cluster: fake has no image of the load generator",
        ]
        assert not missing(replace(run, runner_image="shop.test/runner:1"), Facts.of(run, experiment), experiment)


def test_locustfile_is_named_as_the_cause(tmp_path: Path) -> None:
    """The workload of an existing namespace is only known here, after the experiment file was checked."""
    stage = Stage(tmp_path)
    write_project(tmp_path, LOADED)
    file = tmp_path / "experiments" / "workloads" / "shop" / "service.yaml"
    file.write_text(SERVICE.replace("type: NodePort", "type: ClusterIP").replace(", nodePort: 30080", ""))
    experiment = load_experiment(tmp_path / "experiments" / "one-killed.yaml", Sources.for_root(tmp_path))
    assert experiment.load
    load = experiment.load.model_copy(update={"locustfile": "own.py"})
    (found,) = missing(run := stage.run(), Facts.of(run, experiment), replace(experiment, load=load))
    assert "inside the cluster, but a locustfile runs on this machine; expected a Service of type NodePort" in found


def test_reading_the_objects_of_a_target_is_permitted() -> None:
    targets = [Target(ingress="a"), Target(http_route="b"), Target(service="c")]
    assert {str(each) for each in needed_for(targets)} == {
        "get ingresses.networking.k8s.io in the experiment's namespace",
        "get httproutes.gateway.networking.k8s.io in the experiment's namespace",
        "get gateways.gateway.networking.k8s.io in the experiment's namespace",
    }


@pytest.mark.parametrize(("controlled", "named"), [("cpu", True), ("memory", False)])
def test_two_autoscalers_for_one_metric_are_named(tmp_path: Path, controlled: str, named: bool) -> None:
    stage = Stage(tmp_path)
    stage.cluster = FakeCluster(stage.clock, extra=[VERTICAL_AUTOSCALERS])
    file = write_project(tmp_path)
    target = "{apiVersion: apps/v1, kind: Deployment, name: shop}"
    policy = f"{{containerPolicies: [{{containerName: '*', controlledResources: [{controlled}]}}]}}"
    (tmp_path / "experiments" / "workloads" / "shop" / "scalers.yaml").write_text(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: shop}\n"
        f"spec: {{scaleTargetRef: {target}, maxReplicas: 3}}\n---\n"
        "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: shop}\n"
        f"spec: {{targetRef: {target}, resourcePolicy: {policy}}}\n"
    )
    require(stage.run(), load_experiment(file, Sources.for_root(tmp_path)))
    text = "one-killed: hpa/shop and vpa/shop both scale deployment/shop by cpu"
    assert any(line.startswith(text) for line in stage.said) is named
