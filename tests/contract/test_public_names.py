"""The public interface: the names that users import from ``harness``. A change of them is a decision."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness._names import HOMES
from harness.experiment import registry

ROOT = Path(__file__).resolve().parents[2]
# Removing or renaming one breaks users' code: it needs an entry in CHANGELOG.md.
NAMES = """
    Alert ApiError Apply Availability BadRollout Behaviour Broken CONFIG_MAPS Call Capability CapabilityMissing
    Claims Client Clock Cluster ClusterError ClusterRefused ClusterUnreachable Consistency ContainerKill Cordon
    DAEMON_SETS DEPLOYMENTS Drain Drained Due Durability Duration EXEC_VERBS ErrorRate EvictionOrder Evidence
    ExecResult ExperimentRecord FakeClock FakeCluster Fault FaultContext Finding HarnessError Identity Inconclusive
    Injection InputError Interval Invariant Journal KubeApi Latency LiveObjective LivenessRestart LoadSummary
    LogLines MemberUpdates MetricsOutage NODES NOTHING Need NodeCutOff NodePause NodeService NodeStop NodeStress NotYet
    OK Object Objective Observation OomKill Order Outcome PODS Pause Permission Phase PodEvict PodHttp PodKill
    PodRequest PodResources PodStress PodTarget ProbeContext ProbeStream Probing Problem ProcessHang
    PrometheusClient PrometheusObjective PrometheusUnusable PythonExperiment Recommendation RecoveryTime Registers
    Replicas Reply RequestSample Requests Resource Restart Restarts Resume Rollback RolledBack Rollout RolloutEnds
    RolloutHalts RunRecord SERVICES STATEFUL_SETS Scale ScaleOut ScalingSteps Selector Share SnapshotProbe Strike
    TimedOut Timeline Undecided UndoFailed Verdict Versions Victim WorkloadManifests WorkloadTarget allow
    check_victims __version__
"""
PUBLIC = NAMES.split()


def test_public_names_are_exactly_these() -> None:
    assert sorted(harness.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(harness))


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_public_name_is_documented(name: str) -> None:
    found = getattr(harness, name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert vars(found).get("__doc__") if inspect.isclass(found) else found.__doc__
    else:
        # A constant or a type alias has no docstring: the package's explains it.
        assert f"``{name}``" in (harness.__doc__ or "")


BUILT_IN = {
    kind: model
    for kinds in (registry.faults(), registry.objectives())
    for kind, model in kinds.items()
    if model.__module__.startswith("harness.")
}


def not_public(kind: str, module: str, name: str) -> Iterator[str]:
    """Yield the places that do not name a built-in fault or objective, the class ``name`` of ``module``."""
    if (module, name) not in HOMES.values():
        yield (
            f"harness/__init__.py: {name} of {module} is missing: add it below `if TYPE_CHECKING`, to __all__, to "
            "_NAMES in harness/_names.py, and to NAMES in tests/contract/test_public_names.py"
        )
    overview = (ROOT / "docs" / "usage.md").read_text().partition("\n## Experiments\n")[2].strip().partition("\n\n")[0]
    if f"`{kind}`" not in overview:
        yield f"docs/usage.md: `{kind}` is missing from the list of faults and objectives below 'Experiments'"
    if f"`{kind}`" not in (ROOT / "CHANGELOG.md").read_text():
        yield f"CHANGELOG.md: `{kind}` is missing: add it to 'Unreleased', 'Added'"


@pytest.mark.parametrize("kind", sorted(BUILT_IN))
def test_built_in_kind_is_public_and_in_the_overview(kind: str) -> None:
    found = list(not_public(kind, BUILT_IN[kind].__module__, BUILT_IN[kind].__name__))
    if found:
        pytest.fail("\n".join((f"{kind} is not public everywhere:", *found)), pytrace=False)


def test_kind_that_is_not_public_gets_a_list_of_places() -> None:
    places = [line.partition(":")[0] for line in not_public("slowDisk", "harness.faults.slow_disk", "SlowDisk")]
    assert places == ["harness/__init__.py", "docs/usage.md", "CHANGELOG.md"]


def test_names_for_type_checkers_are_the_imported_ones() -> None:
    """Type checkers read the imports below ``if TYPE_CHECKING``, and Python the table."""
    tree = ast.parse(Path(harness.__file__).read_text())
    (guarded,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and any(isinstance(each, ast.ImportFrom) for each in node.body)
    ]
    checked = {
        alias.asname or alias.name: (each.module, alias.name)
        for each in guarded.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    assert checked == HOMES
    assert set(checked) == set(PUBLIC) - {"__version__"}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'harness' has no attribute 'Falut'"):
        harness.Falut  # noqa: B018  # type: ignore[attr-defined]


def test_usage_imports_public_names_only() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "usage.md").read_text(), re.DOTALL)
    imports = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    assert imports
    assert {node.module for node in imports} == {"harness"}
    assert {alias.name for node in imports for alias in node.names} <= set(PUBLIC)


def _modules_after(statement: str) -> set[str]:
    command = [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split())


def test_import_loads_nothing_else() -> None:
    loaded = _modules_after("import harness")
    assert {name for name in loaded if name.startswith("harness.")} == {"harness._names"}
    assert loaded & {"pydantic", "kubernetes", "locust", "gevent", "requests", "urllib3", "yaml"} == set()


def test_public_names_load_no_load_generator() -> None:
    """Locust and gevent patch the whole process, which a test of pytest must not find out by an import."""
    names = ", ".join(name for name in PUBLIC if name != "__version__")
    assert _modules_after(f"from harness import {names}") & {"locust", "gevent", "pytest"} == set()


def test_version_is_that_of_the_package() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == harness.__version__
