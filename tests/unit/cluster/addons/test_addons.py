"""The manifests that every cluster of ours carries."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from harness.cluster import addons
from harness.cluster.local.boot import ADDONS
from harness.common.errors import InputError

VALUES: Mapping[str, str] = {
    **{key: f"value-of-{key}" for name in addons.names() for key in addons.placeholders(name)},
    "prometheus_node_port": "30017",
    "kubelet_insecure": "false",
    "kubelet_trust": "--kubelet-insecure-tls",
}


def documents() -> list[dict[str, Any]]:
    return [document for name in addons.names() for document in addons.render(name, VALUES)]


def test_the_local_cluster_applies_every_manifest() -> None:
    assert sorted(ADDONS) == addons.names()


def test_no_placeholder_remains() -> None:
    assert "((" not in yaml.safe_dump_all(documents())


def test_a_missing_value_is_named_with_its_manifest() -> None:
    with pytest.raises(InputError, match=r"addon prometheus: no value for \(\(prometheus_image\)\)"):
        addons.render("prometheus", {key: value for key, value in VALUES.items() if key != "prometheus_image"})


def test_a_value_cannot_change_the_structure() -> None:
    hostile = "x\nkind: Pod\nmetadata: {name: evil}"
    rendered = addons.render("dns", {**VALUES, "coredns_image": hostile})
    images = [
        container["image"]
        for document in rendered
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    assert images == [hostile]
    assert len(rendered) == len(addons.render("dns", VALUES))


def test_the_node_port_of_prometheus_is_a_number() -> None:
    service = next(d for d in documents() if d["kind"] == "Service" and d["metadata"]["name"] == "prometheus")
    assert service["spec"]["ports"][0]["nodePort"] == 30017


def test_addons_run_on_the_control_plane_and_are_no_targets() -> None:
    deployments = [document for document in documents() if document["kind"] == "Deployment"]
    assert {d["metadata"]["name"] for d in deployments} == {
        "coredns",
        "metrics-server",
        "prometheus",
    }
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"kubernetes.io/hostname": "value-of-control_plane"}
        assert {"operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]


def test_one_storage_class_is_the_default_and_binds_late() -> None:
    classes = [document for document in documents() if document["kind"] == "StorageClass"]
    assert len(classes) == 1
    assert classes[0]["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    assert classes[0]["volumeBindingMode"] == "WaitForFirstConsumer"


def scrape_jobs() -> dict[str, dict[str, Any]]:
    config = next(d for d in documents() if d["kind"] == "ConfigMap" and "prometheus.yml" in d["data"])
    parsed = yaml.safe_load(config["data"]["prometheus.yml"])
    assert parsed["global"]["scrape_interval"] == "1s"
    return {job["job_name"]: job for job in parsed["scrape_configs"]}


def test_annotated_pods_are_scraped_every_second() -> None:
    jobs = scrape_jobs()
    assert all("scrape_interval" not in jobs[name] for name in ("pods", "services"))


def test_annotated_pod_is_not_scraped_again_through_its_service() -> None:
    rules = scrape_jobs()["services"]["relabel_configs"]
    assert {
        "action": "drop",
        "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"],
        "regex": "true",
    } in rules


def test_kubelets_are_verified_by_default() -> None:
    assert scrape_jobs()["cadvisor"]["tls_config"]["insecure_skip_verify"] is False
