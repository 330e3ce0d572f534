"""Objectives on the resources of a container name one that the workload has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_run import EXPERIMENT
from tests.unit.experiment.test_loading import load, problems


def _with(container: str) -> str:
    objective = f"podResources: {{of: deployment/shop, container: {container}, cpu: {{atMost: '1'}}, within: 20s}}"
    return EXPERIMENT.replace("objectives:\n", f"objectives:\n  - {objective}\n")


def test_container_of_the_workload_is_accepted(tmp_path: Path) -> None:
    assert load(tmp_path, _with("shop")).objectives


@pytest.mark.parametrize("container", ["shopp", "cart"])
def test_other_container_is_refused(tmp_path: Path, container: str) -> None:
    (problem,) = problems(tmp_path, _with(container))
    assert f"objectives[0].podResources.container: found the unknown container '{container}'" in problem
