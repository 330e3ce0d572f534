"""What is known of a custom resource before anything is changed."""

from __future__ import annotations

from harness.cluster.kube.resources import ROLLOUTS
from harness.engine.preflight.facts import Facts
from harness.safety.guard.policy import Policy

ROLLOUT = {"apiVersion": ROLLOUTS.group_version, "kind": ROLLOUTS.kind, "metadata": {"name": "shop"}}


def test_custom_resource_that_is_there_is_not_cluster_wide() -> None:
    assert not Facts(Policy(), "shop", 0.0, {}).is_cluster_wide(ROLLOUT)
