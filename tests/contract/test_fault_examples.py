"""What a contributor of a fault reads when something is missing."""

from __future__ import annotations

import pytest

from tests.contract.fault_examples import in_the_kill_matrix
from tests.fake_world import NAMESPACE, FakeContainers, UnknownScriptError


def test_a_fault_may_be_listed_as_not_measured_yet() -> None:
    text = "| step | podKill | all |\n|---|---:|---:|\n\nNot measured yet: `slowDisk`, netDelay.\n"
    assert {"podKill", "slowDisk", "netDelay"} <= in_the_kill_matrix(text)
    assert "podEvict" not in in_the_kill_matrix(text)


def test_unknown_script_is_shown_by_its_first_line() -> None:
    with pytest.raises(UnknownScriptError) as caught:
        FakeContainers()(NAMESPACE, "podinfo-1", "podinfo", ["sh", "-c", "\nfill=$1\nsecond line\n", "sh", "9"])
    assert "fake pod podinfo-1: fill=$1 …\n" in str(caught.value)
    assert "second line" not in str(caught.value)
