"""A Python test has a control arm for the asking."""

from __future__ import annotations

from harness.model.verdict import Verdict
from tests.plugin.conftest import Project

TEST = '''
from tests.fake_plugin import Mark
from tests.unit.engine.test_control_arm import ToldBoth

def test_noise(experiment, chaos):
    """What the control arm misses too is not the fault's doing."""
    experiment.workload("workloads/shop", control=True)
    experiment.baseline(seconds=0.05)
    with chaos(Mark(), seconds=0.05):
        pass
    experiment.assert_objectives(ToldBoth(says="BROKEN", unharmed="BROKEN"), recovery=0.1, settle=0.05)
'''


def test_a_python_test_has_a_control_arm_for_the_asking(project: Project) -> None:
    project.pytester.makepyfile(test_noise=TEST)
    project.run("--cluster", "test_noise.py").assert_outcomes(errors=1)
    (record,) = project.record().experiments
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "noise alone can explain it" in record.reason
    assert record.control is not None
    assert record.control.namespace != record.namespace
    assert project.happened()[-1] == "left: []"
