"""What may be broken: contexts, namespaces, victims."""

from __future__ import annotations

from typing import Any

import pytest

from harness.common.errors import ClusterRefused
from harness.safety.guard import PROTECTED_LABEL, check_context, check_namespace, check_reach, check_victims
from tests.fake_world import bare_pod, deployment, owner


@pytest.mark.parametrize("context", ["kind-kind", "kind-ci", "local-resilience"])
def test_contexts_that_are_made_to_be_broken_are_allowed(context: str) -> None:
    check_context(context)


@pytest.mark.parametrize("context", ["prod", "gke_shop_eu", "my-kind-cluster", "kind", "minikube", "Kind-x", ""])
def test_any_other_context_is_refused(context: str) -> None:
    with pytest.raises(ClusterRefused, match="matches none of the patterns that allow faults"):
        check_context(context)


def test_naming_a_context_in_full_is_not_enough() -> None:
    with pytest.raises(ClusterRefused, match="named in full"):
        check_context("prod", named_in_full=True)


def test_allowing_a_context_is_not_enough() -> None:
    with pytest.raises(ClusterRefused, match="name it in full with --cluster=prod"):
        check_context("prod", allowed=["prod"])


def test_context_allowed_by_its_full_name_may_be_hit() -> None:
    check_context("prod", allowed=["staging", "prod"], named_in_full=True)


@pytest.mark.parametrize("allowed", ["*", "pro*", "prod-eu", "PROD"])
def test_allowed_context_must_match_exactly(allowed: str) -> None:
    with pytest.raises(ClusterRefused):
        check_context("prod", allowed=[allowed], named_in_full=True)


def test_patterns_can_be_set() -> None:
    check_context("minikube", patterns=["mini*"])
    with pytest.raises(ClusterRefused):
        check_context("kind-kind", patterns=["mini*"])


@pytest.mark.parametrize("name", ["kube-system", "kube-public", "kube-node-lease", "resilience-system"])
def test_namespaces_of_the_cluster_are_never_touched(name: str) -> None:
    with pytest.raises(ClusterRefused, match=name):
        check_namespace(name, allowed=[name])


def test_the_default_namespace_is_touched_only_when_allowed() -> None:
    with pytest.raises(ClusterRefused, match="default"):
        check_namespace("default")
    check_namespace("default", allowed=["default"])


def test_other_namespaces_are_allowed() -> None:
    check_namespace("rh-pod-kill-1a2b")


def _pod(**metadata: Any) -> dict[str, Any]:
    return bare_pod("web-1", **{"namespace": "shop", "ownerReferences": owner(), **metadata})


def test_a_controlled_pod_of_the_namespace_may_be_hit() -> None:
    check_victims([_pod()], "shop")


def test_pod_without_a_controller_is_refused() -> None:
    with pytest.raises(ClusterRefused, match="pod/web-1 has no controller"):
        check_victims([_pod(ownerReferences=[])], "shop")


def test_an_owner_that_does_not_control_is_no_controller() -> None:
    owners = [{**owner()[0], "controller": False}]
    with pytest.raises(ClusterRefused, match="no controller"):
        check_victims([_pod(ownerReferences=owners)], "shop")


def test_a_static_pod_is_refused() -> None:
    with pytest.raises(ClusterRefused, match="static pod of node node-1"):
        check_victims([_pod(ownerReferences=owner("Node", "node-1"))], "shop")


def test_a_protected_pod_is_refused() -> None:
    with pytest.raises(ClusterRefused, match=PROTECTED_LABEL):
        check_victims([_pod(labels={PROTECTED_LABEL: "true"})], "shop")


def test_a_victim_elsewhere_is_refused() -> None:
    with pytest.raises(ClusterRefused, match="namespace other"):
        check_victims([_pod(namespace="other")], "shop")


def test_one_bad_victim_among_many_is_found() -> None:
    with pytest.raises(ClusterRefused):
        check_victims([_pod(), _pod(ownerReferences=[])], "shop")


def test_protected_namespace_is_always_refused() -> None:
    with pytest.raises(ClusterRefused, match="kube-system"):
        check_victims([_pod(namespace="kube-system")], "kube-system")


def test_hits_outside_the_namespace_must_be_declared() -> None:
    check_reach("podKill", disruptive=False, allowed=False)
    check_reach("nodeStop", disruptive=True, allowed=True)
    refused = "nodeStop .* disruptive: true in the experiment file, or mark the Python test"
    with pytest.raises(ClusterRefused, match=refused):
        check_reach("nodeStop", disruptive=True, allowed=False)


def test_a_workload_needs_no_controller() -> None:
    item = deployment()
    item["metadata"]["namespace"] = "shop"
    check_victims([item], "shop")
