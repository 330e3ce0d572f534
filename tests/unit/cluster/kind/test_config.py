"""What kind is asked to make."""

from __future__ import annotations

import yaml

from harness.cluster.kind.config import config


def test_every_node_port_is_published_on_loopback_and_there_are_no_others() -> None:
    body = config(2, 31000)
    mappings = body["nodes"][0]["extraPortMappings"]
    assert {mapping["listenAddress"] for mapping in mappings} == {"127.0.0.1"}
    assert [mapping["containerPort"] for mapping in mappings] == list(range(30000, 30040))
    assert [mapping["hostPort"] for mapping in mappings] == list(range(31000, 31040))
    assert all("30000-30039" in patch for patch in body["kubeadmConfigPatches"])


def test_there_is_a_patch_for_each_shape_of_kubeadms_arguments() -> None:
    versions = {yaml.safe_load(patch)["apiVersion"] for patch in config(1, 30000)["kubeadmConfigPatches"]}
    assert versions == {"kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta4"}


def test_every_worker_is_a_zone_of_its_own() -> None:
    workers = [node for node in config(3, 30000)["nodes"] if node["role"] == "worker"]
    assert [node["labels"]["topology.kubernetes.io/zone"] for node in workers] == ["zone-a", "zone-b", "zone-c"]
