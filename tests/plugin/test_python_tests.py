"""Python tests drive the same engine through fixtures, and are told of in the same report."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.model.verdict import Verdict
from tests.plugin.conftest import Project

TESTS = '''
import pytest
from tests.fake_plugin import Mark, Told

def test_held(experiment, chaos, namespace, timeline, cluster):
    """The whole of it holds."""
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)
    with chaos(Mark(), seconds=0.05) as injections:
        assert cluster.api.list(CONFIG_MAPS, namespace).items
    assert injections[0].proven
    assert [phase.name for phase in timeline.phases] == ["baseline", "fault"]
    record = experiment.assert_objectives(Told(), recovery=1.0, settle=0.05)
    assert record.namespace == namespace

def test_ends_early(experiment, chaos, timeline):
    class Waiting(Told):
        def awaits(self, timeline):
            return "" if len(asked) > 2 else asked.append(1) or "not yet"
    asked = []
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)
    with chaos(Mark(), seconds=0.05, at_most=600.0, until=[Waiting()]) as injections:
        assert len(asked) == 3 and injections[0].proven
    experiment.assert_objectives(Told(), recovery=1.0, settle=0.05)

def test_missed(experiment):
    experiment.workload("workloads/shop")
    experiment.assert_objectives(Told(says="BROKEN"), recovery=0.1, settle=0.05)

def test_unknown(experiment):
    experiment.workload("workloads/shop")
    experiment.assert_objectives(Told(says="INCONCLUSIVE"), recovery=0.1, settle=0.05)

def test_unsteady(experiment, chaos):
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)
    with chaos(Mark()):
        pass
    experiment.assert_objectives(Told(steady="BROKEN"), recovery=0.1, settle=0.05)

def test_without_a_baseline(experiment, chaos):
    experiment.workload("workloads/shop")
    with chaos(Mark()):
        pass
    experiment.assert_objectives(Told(), recovery=0.1, settle=0.05)

def test_failed_on_the_way(experiment, chaos):
    experiment.workload("workloads/shop")
    with chaos(Mark()):
        assert 1 == 2

def test_wrong_workload(experiment):
    experiment.workload("workloads/nothing")

def test_stuck(experiment, chaos):
    experiment.workload("workloads/shop")
    with chaos(Mark(fails="undo")):
        pass

def test_without_prometheus(prometheus):
    pass

from harness.cluster.kube.resources import CONFIG_MAPS
'''


UNDECIDED = (
    "test_unknown",
    "test_unsteady",
    "test_without_a_baseline",
    "test_failed_on_the_way",
    "test_wrong_workload",
    "test_stuck",
)


def test_fixtures_give_the_whole_engine(project: Project) -> None:
    project.pytester.makepyfile(test_them=TESTS)
    result = project.run("--cluster", "--junitxml=junit.xml", "test_them.py")
    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes["failed"], outcomes["skipped"]) == (2, 2, 1)
    records = {record.id.partition("::")[2]: record for record in project.record().experiments}
    verdicts = {name: record.verdict for name, record in records.items()}
    assert verdicts == {
        "test_held": Verdict.HELD,
        "test_ends_early": Verdict.HELD,
        "test_missed": Verdict.BROKEN,
        **dict.fromkeys(UNDECIDED, Verdict.INCONCLUSIVE),
    }
    assert records["test_held"].hypothesis == "The whole of it holds."
    assert "the steady state did not hold" in records["test_unsteady"].reason
    assert "no steady state was measured" in records["test_without_a_baseline"].reason
    assert "before it evaluated any objective" in records["test_failed_on_the_way"].reason
    assert [undo.state for undo in records["test_failed_on_the_way"].faults[0].undo] == ["done"]
    assert "UNDO FAILED" in records["test_stuck"].reason
    result.stdout.fnmatch_lines(["*UNDO FAILED: these effects are still in the cluster*"])
    for name in ("test_unknown", "test_unsteady", "test_wrong_workload", "test_stuck"):
        result.stdout.fnmatch_lines([f"ERROR *test_them.py::{name}*"])
    assert project.happened()[-1] == "left: []"
    assert '<property name="verdict" value="HELD"' in (project.root / "junit.xml").read_text()


REASONS = """
import pytest
from harness.faults.pod_kill import PodKill
from harness.common.errors import HarnessError

@pytest.fixture
def shop(experiment):
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)

def test_nobody(shop, chaos):
    with chaos(PodKill(selector="app=nobody")):
        pass

def test_too_many(shop, chaos):
    with chaos(PodKill(selector="app=shop", count=9)):
        pass

def test_refused(shop, chaos):
    with chaos(PodKill(selector="app=shop", count="all")):
        pass

def test_caught(shop, chaos):
    with pytest.raises(HarnessError):
        with chaos(PodKill(selector="app=shop", count="all")):
            pass

def test_workload(experiment):
    experiment.workload("workloads/nothing")

def test_chart(experiment):
    experiment.workload({"helm": {"chart": "charts/nothing"}})

def test_own_assertion(shop, chaos):
    assert 1 == 2, "sums are off"

@pytest.fixture
def broken(shop):
    raise ValueError("not set up")

def test_fixture(broken):
    pass
"""
SENTENCES = {
    "test_nobody": "app=nobody",
    "test_too_many": "9",
    "test_refused": "the guard refuses, nothing was injected: no healthy pod of",
    "test_caught": "the guard refuses, nothing was injected: no healthy pod of",
    "test_workload": "workload: found 'workloads/nothing', expected a folder of manifests in",
    "test_chart": "workload.helm.chart: found 'charts/nothing', which does not exist",
    "test_own_assertion": "the test ended before it evaluated any objective: AssertionError: sums are off",
    "test_fixture": "the test ended before it evaluated any objective: ValueError: not set up",
}


def test_record_holds_the_reason_that_ended_a_test(project: Project) -> None:
    project.pytester.makepyfile(test_reasons=REASONS)
    text = " ".join(project.run("--cluster", "test_reasons.py", "--no-header", "--tb=no").stdout.str().split())
    reasons = {record.id.partition("::")[2]: record.reason for record in project.record().experiments}
    assert set(reasons) == set(SENTENCES)
    for name, sentence in SENTENCES.items():
        assert sentence in reasons[name]
        assert sentence in text
    (report,) = (project.root / "reports").glob("*/summary.md")
    assert "the guard refuses, nothing was injected" in report.read_text()


def test_tests_of_one_name_in_two_files_do_not_share_a_namespace(project: Project) -> None:
    test = "def test_same(experiment, namespace):\n    print('in', namespace)\n"
    for name in ("test_one", "test_two"):
        project.pytester.makepyfile(**{name: test})
    project.run("--cluster", "test_one.py", "test_two.py").assert_outcomes(passed=2)
    namespaces = {record.namespace for record in project.record().experiments}
    assert len(namespaces) == 2


HALTED = """
import time
from pathlib import Path
from tests.fake_plugin import Mark

def test_asleep(experiment, chaos):
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)
    with chaos(Mark()):
        Path(".resilience-halt").touch()
        time.sleep(60)
        raise AssertionError("nobody woke it up")
"""


def test_a_halt_ends_the_body_of_a_test_even_in_its_sleep(project: Project) -> None:
    """Told as INCONCLUSIVE with the reason, and undone: the session itself is not interrupted."""
    project.pytester.makepyfile(test_halted=HALTED)
    result = project.run("--cluster", "test_halted.py")
    assert result.parseoutcomes() == {"errors": 1}
    (record,) = project.record().experiments
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "halt" in record.reason
    assert [undo.state for undo in record.faults[0].undo] == ["done"]


# As pytest-rerunfailures does it, within one protocol of the item.
TWICE = """
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for _ in range(2):
        runtestprotocol(item, nextitem=nextitem, log=False)
    return True
"""


def test_an_item_that_is_set_up_twice_does_not_wait_for_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(what: str, look: Callable[[], tuple[bool | None, str]], *_: object) -> None:
        assert look()[0], f"{what} is waited for"

    monkeypatch.setattr("harness.safety.leases.worker_lock.wait_until", at_once)
    project.pytester.makeconftest(TWICE)
    project.pytester.makepyfile(
        test_shop="import pytest\n@pytest.mark.disruptive\n"
        "def test_it(cluster):\n    with open('calls', 'a') as calls:\n        calls.write('called ')\n"
    )
    project.run("--cluster", "--allow-disruptive", "test_shop.py")
    assert (project.root / "calls").read_text() == "called called "


NESTED = """
from harness.cluster.kube.resources import CONFIG_MAPS
from tests.fake_plugin import Mark, Told

def test_nested(experiment, chaos, namespace, cluster):
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)
    def marks():
        return [item["metadata"]["name"] for item in cluster.api.list(CONFIG_MAPS, namespace).items]
    with chaos(Mark(mark="outer")):
        with chaos(Mark(mark="inner")):
            assert {"outer", "inner"} <= set(marks())
        assert "outer" in marks()
        assert "inner" not in marks()
    assert not {"outer", "inner"} & set(marks())
    experiment.assert_objectives(Told(), recovery=0.5, settle=0.05)
"""


def test_a_block_inside_of_another_is_undone_alone(project: Project) -> None:
    project.pytester.makepyfile(test_blocks=NESTED)
    project.run("--cluster", "test_blocks.py").assert_outcomes(passed=1)
    record = project.record().experiments[0]
    outer, inner = record.faults
    assert outer.undone
    assert inner.undone
    assert inner.undone.high <= outer.undone.low
    assert [phase.name for phase in record.phases].count("fault") == 1
