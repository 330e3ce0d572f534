"""The published merge rules: what stands in the package is what the Kubernetes module in use says."""

from __future__ import annotations

import subprocess

import pytest

from harness.cluster.kube import published
from harness.cluster.kube.patches import rules
from scripts import patch_rules


def test_rules_are_those_of_the_kubernetes_in_use() -> None:
    assert rules.version() == published.version() == f"v{patch_rules.version()}"


def test_rules_are_what_the_script_writes() -> None:
    try:
        generated = patch_rules.generated()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the Kubernetes module is not in Go's module cache: {error}")
    assert patch_rules.RULES.read_text() == generated


@pytest.mark.parametrize(
    ("of", "name", "key"),
    [
        ("Container", "volumeMounts", "mountPath"),
        ("Container", "ports", "containerPort"),
        ("ServiceSpec", "ports", "port"),
        ("PodSpec", "volumes", "name"),
    ],
)
def test_merge_keys_are_the_published_ones(of: str, name: str, key: str) -> None:
    rule = rules.field(f"io.k8s.api.core.v1.{of}", name)
    assert (rule.strategy, rule.key) == (rules.MERGE, key)
