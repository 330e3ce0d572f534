"""Nobody hurt, for real: Roles that allow no more than is used, a halt that is obeyed, a plan that changes nothing.

Needs root on Linux. Uses a local cluster of its own. Run with ``-s`` to see what was measured.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import Permission, denied
from harness.cluster.kube.resources import CONFIG_MAPS, NAMESPACES, Resource
from harness.cluster.kube.roles import roles_for
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.common.clock import SystemClock
from harness.common.naming import SYSTEM_NAMESPACE
from harness.common.waiting import wait_until
from harness.engine.preflight.permissions import needed_by_session, useful_to_session
from harness.engine.preflight.requirements import permissions
from harness.experiment.files import is_experiment
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.safety.halt import order

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = "guard"
# Some of the catalogue spreads its replicas over two zones.
WORKERS = 2
ROOT = Path(__file__).resolve().parents[2]
USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:resilience-harness"
QUICKEST = "self_healing/one-pod-killed"
EXPERIMENTS = sorted(
    str(file.relative_to(ROOT / "experiments").with_suffix(""))
    for file in filter(is_experiment, (ROOT / "experiments").rglob("*.yaml"))
)
_RBAC = "rbac.authorization.k8s.io/v1"
ROLES = {
    "ClusterRole": Resource(_RBAC, "clusterroles", "ClusterRole", namespaced=False),
    "Role": Resource(_RBAC, "roles", "Role"),
}
LONG = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {name: long}
hypothesis: It goes on until somebody halts it.
workload: builtin/podinfo
phases: {baseline: 2s, fault: 120s, recovery: 10s, settle: 1s}
faults: [podKill: {selector: app=podinfo}]
objectives: [recoveryTime: {of: deployment/podinfo, max: 60s}]
"""


def _silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with locked("selftest-guard", _silent, "another run of these tests"):
        cluster = commands.up(NAME, WORKERS, _silent)
        with closing(cluster):
            yield cluster
        commands.down(NAME, _silent)


@pytest.fixture(scope="module")
def granted() -> frozenset[Permission]:
    sources = Sources.for_root(ROOT)
    loaded = [load_experiment(ROOT / "experiments" / f"{name}.yaml", sources) for name in EXPERIMENTS]
    return frozenset().union(needed_by_session(), useful_to_session(), *map(permissions, loaded))


@pytest.fixture
def limited(cluster: LocalCluster, granted: frozenset[Permission]) -> Iterator[KubeApi]:
    """An API that acts as the ServiceAccount with the derived Roles."""
    _grant(cluster.api, granted)
    api = cluster.api.clone()
    api.impersonate(USER)
    with closing(api):
        # The API server's authorizer follows the Roles by a watch.
        wait_until("the Roles to count", lambda: (True if not _denied(api, granted) else None, ""), 60.0, SystemClock())
        yield api


def _grant(api: KubeApi, wanted: frozenset[Permission], before: frozenset[Permission] = frozenset()) -> None:
    """Grant exactly ``wanted``: Roles of ``before`` that are not needed any more keep no rule."""
    made = roles_for(wanted, "resilience-harness")
    kept = list(map(_place, made))
    earlier = [item for item in roles_for(before, "resilience-harness") if item["kind"] in ROLES]
    made += [{**item, "rules": []} for item in earlier if _place(item) not in kept]
    for item in made:
        if item["kind"] in ROLES:
            # Applying would leave rules that another apply has set.
            place = item["metadata"].get("namespace")
            if api.find(ROLES[item["kind"]], item["metadata"]["name"], place):
                api.replace(ROLES[item["kind"]], item, place)
                continue
        api.apply(item, item["metadata"].get("namespace"))


def _place(item: Object) -> tuple[str, str, str | None]:
    """The kind, name and namespace of an object."""
    return item["kind"], item["metadata"]["name"], item["metadata"].get("namespace")


def _denied(api: KubeApi, wanted: frozenset[Permission]) -> list[str]:
    return denied(api, wanted, "rh-any", {})


def _pytest(*arguments: str, folder: Path = ROOT, **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.Popen(
        [*command, "--cluster=local", f"--cluster-name={NAME}", f"--cluster-nodes={WORKERS}", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
    )


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each == QUICKEST else pytest.mark.slow) for each in EXPERIMENTS]
)
def test_the_catalogue_runs_under_the_derived_roles(name: str, tmp_path: Path) -> None:
    chosen = (f"experiments/{name}.yaml", "--allow-disruptive", "-ra")
    process = _pytest(f"--cluster-as={USER}", f"--report-dir={tmp_path}", *chosen)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "1 passed" in output
    assert "goes without" not in output


def test_only_the_missing_verb_is_named(
    cluster: LocalCluster, limited: KubeApi, granted: frozenset[Permission]
) -> None:
    began = time.monotonic()
    assert _denied(limited, granted) == []
    print(f"\npreflight of {len(granted)} permissions: {time.monotonic() - began:.2f} s")
    for left_out in sorted(granted):
        named = (left_out.group, left_out.resource, left_out.verb)
        same = {each for each in granted if (each.group, each.resource, each.verb) == named}
        _grant(cluster.api, granted - same, before=granted)

        # The authorizer sees the change of each Role by itself.
        def look(same: set[Permission] = same) -> tuple[list[str] | None, str]:
            found = _denied(limited, frozenset(same))
            return (found if len(found) >= len(same) else None), f"only {', '.join(found) or 'nothing'} is denied"

        assert sorted(wait_until(f"{left_out} to go", look, 60.0, SystemClock())) == sorted(map(str, same))
        assert _denied(limited, granted - same) == []
    _grant(cluster.api, granted)


@pytest.mark.parametrize("during", ["long: deploying", "long: baseline", "podKill →"])
def test_a_halt_is_obeyed_wherever_the_run_is(cluster: LocalCluster, tmp_path: Path, during: str) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "long.yaml").write_text(LONG)
    process = _pytest("experiments", folder=tmp_path)
    assert process.stdout is not None
    lines: list[str] = []
    ordered = obeyed = 0.0
    try:
        for line in process.stdout:
            lines.append(line)
            if during in line and not ordered:
                order.order(cluster.api, order.Halt("the test", f"during {during}"))
                ordered = time.monotonic()
            if "halted by the test" in line and not obeyed:
                obeyed = time.monotonic()
        process.wait(timeout=60)
    finally:
        process.kill()
        order.clear(cluster.api)
    text = "".join(lines)
    assert ordered, text
    assert obeyed, text
    assert "INCONCLUSIVE: halted by the test" in text
    assert process.returncode == 1
    assert not [name for name in _namespaces(cluster.api) if name.startswith("rh-")]
    print(f"\nhalt while {during!r}: obeyed {obeyed - ordered:.2f} s later")


def test_no_run_starts_during_a_halt(cluster: LocalCluster, tmp_path: Path) -> None:
    order.order(cluster.api, order.Halt("the test", "not now"))
    try:
        output, _ = _pytest("experiments/self_healing/one-pod-killed.yaml", f"--report-dir={tmp_path}").communicate()
    finally:
        order.clear(cluster.api)
    assert "ClusterRefused: no experiment may start: halted by the test: not now" in output


def test_a_plan_changes_nothing(cluster: LocalCluster, tmp_path: Path) -> None:
    before = (_namespaces(cluster.api), _journals(cluster.api))
    audit, reports = tmp_path / "audit", tmp_path / "reports"
    audited = ("-p", "tests.crash_plugin", f"--report-dir={reports}")
    process = _pytest(*audited, "--plan", "--allow-disruptive", "--twins", "experiments", CRASH_LOG=str(audit))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    planned = re.findall(r"plan of (\S+)", output)
    assert {"one-pod-killed", "leader-killed", "all-pods-killed"} <= set(planned)
    print(output)
    assert (_namespaces(cluster.api), _journals(cluster.api)) == before
    assert not reports.exists()
    # The rehearsals' own journals, and not one request that changes something, nor a command in a pod or on a node.
    assert {line.partition(":")[0] for line in audit.read_text().splitlines()} == {"line"}


def _namespaces(api: KubeApi) -> list[str]:
    return [
        item["metadata"]["name"] for item in api.list(NAMESPACES).items if "deletionTimestamp" not in item["metadata"]
    ]


def _journals(api: KubeApi) -> list[str]:
    return [item["metadata"]["name"] for item in api.list(CONFIG_MAPS, SYSTEM_NAMESPACE).items]
