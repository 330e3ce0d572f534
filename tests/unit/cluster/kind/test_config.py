"""What kind is asked to make."""

from __future__ import annotations

import yaml

from harness.cluster.kind.config import config
from harness.cluster.local.control_plane import CONTROLLER_TIMINGS


def test_only_node_ports_are_published_and_only_on_loopback() -> None:
    body = config(2, 31000)
    mappings = body["nodes"][0]["extraPortMappings"]
    assert {mapping["listenAddress"] for mapping in mappings} == {"127.0.0.1"}
    assert [mapping["containerPort"] for mapping in mappings] == list(range(30000, 30040))
    assert [mapping["hostPort"] for mapping in mappings] == list(range(31000, 31040))
    assert all("30000-30039" in patch for patch in body["kubeadmConfigPatches"])


def test_each_kubeadm_argument_format_has_a_patch() -> None:
    versions = {yaml.safe_load(patch)["apiVersion"] for patch in config(1, 30000)["kubeadmConfigPatches"]}
    assert versions == {"kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta4"}


def test_a_silent_node_is_missed_as_soon_as_on_the_local_cluster() -> None:
    """An experiment that loses a node must say the same on both."""
    old, new = (yaml.safe_load(patch)["controllerManager"] for patch in config(1, 30000)["kubeadmConfigPatches"])
    wanted = {"node-monitor-grace-period": CONTROLLER_TIMINGS["node-monitor-grace-period"]}
    assert old["extraArgs"] == wanted
    assert {entry["name"]: entry["value"] for entry in new["extraArgs"]} == wanted


def test_every_worker_has_a_separate_zone() -> None:
    workers = [node for node in config(3, 30000)["nodes"] if node["role"] == "worker"]
    assert [node["labels"]["topology.kubernetes.io/zone"] for node in workers] == ["zone-a", "zone-b", "zone-c"]
