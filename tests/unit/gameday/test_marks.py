"""Marks of the people on call: entered as objects of the cluster, read by the run."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.common.clock import FakeClock
from harness.common.errors import InputError
from harness.common.naming import SYSTEM_NAMESPACE
from harness.gameday.marks import Mark, enter, entered, first_between, read_time, remove

NOW = 1_700_000_000.0
SEEN = Mark("detected", NOW, "ann@desk", "page from the shop")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(FakeClock())


def test_mark_is_read_as_it_was_entered(cluster: FakeCluster) -> None:
    enter(cluster.api, SEEN)
    enter(cluster.api, Mark("mitigated", NOW + 60, "bob"))
    assert entered(cluster.api, NOW, NOW + 60) == [SEEN, Mark("mitigated", NOW + 60, "bob")]
    assert entered(cluster.api, NOW + 1, NOW + 59) == []


def test_same_mark_entered_twice_is_one(cluster: FakeCluster) -> None:
    enter(cluster.api, SEEN)
    enter(cluster.api, SEEN)
    assert entered(cluster.api, 0, NOW) == [SEEN]
    assert remove(cluster.api) == 1
    assert entered(cluster.api, 0, NOW) == []


@pytest.mark.parametrize(
    "data", [{"kind": "solved", "at": "2023-11-14T22:13:20Z"}, {"kind": "detected", "at": "x"}, {}]
)
def test_mark_that_was_edited_by_hand_is_ignored(cluster: FakeCluster, data: dict[str, str]) -> None:
    enter(cluster.api, SEEN)
    [found] = cluster.api.list(CONFIG_MAPS, SYSTEM_NAMESPACE).items
    cluster.api.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "edited", "labels": found["metadata"]["labels"]},
            "data": data,
        },
        SYSTEM_NAMESPACE,
    )
    assert entered(cluster.api, 0, NOW) == [SEEN]


def test_first_mark_of_its_kind_counts() -> None:
    marks = [Mark("detected", 10, "a"), Mark("mitigated", 20, "b"), Mark("detected", 30, "c")]
    assert first_between(marks, "detected", 5, 30) == marks[0]
    assert first_between(marks, "detected", 11, 30) is None
    assert first_between(marks, "mitigated", 5, 30) == marks[1]


def test_time_with_an_offset_is_read() -> None:
    assert read_time("2023-11-14T23:13:20+01:00", NOW) == NOW
    assert read_time("2023-11-14T22:13:20Z", NOW) == NOW


def test_time_of_day_is_the_last_one() -> None:
    local = datetime.fromtimestamp(NOW)
    assert read_time(f"{local:%H:%M:%S}", NOW) == NOW
    later = local + timedelta(minutes=5)
    assert read_time(f"{later:%H:%M:%S}", NOW) == NOW + 300 - 86_400


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("yesterday", "expected a time such as 14:05"),
        ("25:00", "expected a time such as 14:05"),
        ("2023-11-14T22:13:20", "expected a time such as 14:05"),
        ("2023-11-15T22:13:20Z", "later than now"),
    ],
)
def test_time_that_is_unclear_or_later_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        read_time(text, NOW)
