"""Wrong values of a schedule are reported together, and before anything is contacted."""

from __future__ import annotations

from typing import Any

import pytest

from harness.common.errors import InputError
from harness.schedule.values import read_values
from tests.unit.schedule.given import NOW, values


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schedule": "0 3 30 2 *"}, "schedule: found '0 3 30 2 *', which never runs"),
        ({"schedule": "0 25 * * *"}, "hour: found '25', expected 0 to 23"),
        ({"timeZone": "Europe/Berlni"}, "timeZone: found 'Europe/Berlni', expected a time zone"),
        ({"name": "janitor"}, "found the name 'janitor', which is reserved"),
        ({"name": "Nightly"}, "name: found 'Nightly', expected at most 40"),
        ({"deadlineSeconds": 5}, "deadlineSeconds: found 5"),
        ({"results": {"volume": {}, "s3": {}}}, "found volume and s3, expected one of them"),
        ({"results": {"volume": {"size": "big"}}}, "results.volume.size: found 'big', expected a quantity"),
        ({"source": {"git": {"url": "file:///x", "image": "i"}}}, "source.git.url: found 'file:///x'"),
        ({"results": {"s3": {"endpoint": "https://s3:99999", "bucket": "abc", "secret": "s"}}}, "results.s3.endpoint"),
        ({"source": {"git": {"url": "https://git:port/shop.git", "image": "git:2"}}}, "source.git.url"),
        ({"results": {"s3": {"endpoint": "https://u:p@s3", "bucket": "abc", "secret": "s"}}}, "results.s3.endpoint"),
    ],
)
def test_wrong_value_names_its_field(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        values(**wrong)
    assert message in str(caught.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_values({"name": "X", "schedule": "never", "timeZone": "Mars/Base", "paths": ["a"]}, NOW)
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"name", "image", "schedule", "timeZone"}
