"""The recipients in a game day file are notified of the day, beside those of the options."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.conftest import Project
from tests.plugin.test_game_days import FILE, write_day
from tests.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_day_notifies_its_recipients(project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    project.experiment("a")
    entry = f'{{webhook: "{receiver.url}", secret: "file:key", events: [finished]}}'
    file = write_day(project, "a.yaml", f"notify: [{entry}]\n")
    (file.parent / "key").write_text("0123456789abcdef\n")
    project.run("--cluster", FILE).assert_outcomes(passed=1)
    assert receiver.events == ["finished"]


def test_missing_secret_stops_the_day_before_it_starts(project: Project) -> None:
    project.experiment("a")
    write_day(project, "a.yaml", "notify: [{webhook: 'https://h.test', secret: 'env:MISSING'}]\n")
    result = project.run("--cluster", FILE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "friday.yaml:6: notify[0].secret: found env:MISSING, but the environment variable MISSING is not set or empty"
        in result.stderr.str()
    )
    assert not project.happened()
