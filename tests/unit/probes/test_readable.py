"""The read-back probe lists what a command in a pod of the store prints, and asks another pod when one fails."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.cluster.kube.transport import ExecResult
from harness.probes.readable import Readable
from tests.unit.probes.snapshots import Stand

PROBE = Readable(selector="app=db", command=("list-keys",), strip="shop/")


def test_every_line_is_a_key_without_its_prefix() -> None:
    stand = Stand()
    stand.outputs["db-0"] = ExecResult("shop/b\n\n  shop/a \r\nother/c\nshop/b\n", "", 0)
    (only,) = stand.look(PROBE)
    assert (only.series, only.subject) == ("readable", "app=db")
    assert only.value == {"keys": ["a", "b", "other/c"], "pod": "db-0"}
    assert stand.asked == [("db-0", "main")]


def test_empty_store_counts_as_read() -> None:
    stand = Stand()
    stand.outputs["db-0"] = ExecResult("", "", 0)
    (only,) = stand.look(PROBE)
    assert (only.value["keys"], only.error) == ([], None)


def test_another_pod_is_tried_when_the_first_fails() -> None:
    stand = Stand()
    stand.outputs = {"db-0": ExecResult("", "not the leader\n", 3), "db-1": ExecResult("k\n", "", 0)}
    (only,) = stand.look(PROBE)
    assert only.value == {"keys": ["k"], "pod": "db-1"}


def test_ready_pods_are_tried_first() -> None:
    stand = Stand()
    stand.pod("db", "198.18.1.9", ready=False)
    stand.outputs = {"db": ExecResult("stale\n", "", 0), "db-0": ExecResult("fresh\n", "", 0)}
    (only,) = stand.look(PROBE)
    assert only.value == {"keys": ["fresh"], "pod": "db-0"}


EVERY = Readable.model_validate({"selector": "app=db", "command": ["list-keys"], "everyPod": True})


def test_keys_of_every_pod_are_collected() -> None:
    stand = Stand()
    stand.outputs = {"db-0": ExecResult("b\na\n", "", 0), "db-1": ExecResult("c\na\n", "", 0)}
    (only,) = stand.look(EVERY)
    assert only.value == {"keys": ["a", "b", "c"]}


def test_one_pod_that_cannot_be_read_leaves_the_keys_unknown() -> None:
    stand = Stand()
    stand.outputs = {"db-0": ExecResult("a\n", "", 0), "db-1": ExecResult("", "boom\n", 1)}
    (only,) = stand.look(EVERY)
    assert (only.value, only.error) == (None, "db-1: CommandFailed: exit code 1: boom")


def test_unreadable_pods_give_all_reasons_and_no_key_list() -> None:
    stand = Stand()
    stand.outputs = {"db-0": ExecResult("", "boom\n", 1), "db-1": ExecResult("partial\n", "no quorum\n", 1)}
    (only,) = stand.look(PROBE)
    assert only.value is None
    assert "db-0: CommandFailed: exit code 1: boom" in (only.error or "")
    assert "db-1: CommandFailed: exit code 1: no quorum" in (only.error or "")


def test_a_selector_that_matches_nothing_is_an_error() -> None:
    (only,) = Stand().look(Readable(selector="app=nope", command=("x",)))
    assert (only.value, only.error) == (None, "no pod matches")


def test_a_cluster_that_does_not_answer_is_an_error() -> None:
    stand = Stand()
    stand.cluster.server.fail_next(403, "Forbidden", path="/pods")
    (only,) = stand.look(PROBE)
    assert "403 Forbidden" in (only.error or "")


def test_the_container_can_be_named() -> None:
    stand = Stand()
    stand.outputs["db-0"] = ExecResult("", "", 0)
    stand.look(Readable(selector="app=db", command=("x",), container="proxy"))
    assert stand.asked == [("db-0", "proxy")]


@pytest.mark.parametrize(
    "wrong",
    [{"selector": "", "command": ["x"]}, {"selector": "app=", "command": []}, {"selector": "a b", "command": ["x"]}],
)
def test_probe_without_anything_to_read_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Readable.model_validate(wrong)
