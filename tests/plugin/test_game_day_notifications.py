"""The recipients in a game day file are notified of the day, beside those of the options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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


def notified(project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, more: str) -> list[dict[str, Any]]:
    monkeypatch.setenv("no_proxy", "*")
    project.experiment("a")
    file = write_day(project, "a.yaml", f'notify: [{{webhook: "{receiver.url}", secret: "file:key"}}]\n{more}')
    (file.parent / "key").write_text("0123456789abcdef\n")
    project.run("--cluster", FILE)
    return [request.json for request in receiver.requests]


def test_start_of_a_surprise_has_the_hash_and_no_plan(
    project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, finished = notified(project, receiver, monkeypatch, "surprise: {within: 0s}\n")
    run = project.record()
    assert run.game_day
    assert run.game_day.sealed
    digest = run.game_day.sealed.hash
    assert started["game_day"] == {"name": "friday", "sealed": digest, "verdict": None, "reason": ""}
    assert f"The plan is sealed: SHA-256 {digest}" in started["text"]
    assert started["title"].endswith("game day friday")
    assert finished["title"] == "HELD: game day friday: 1 run: 1 passed"
    assert finished["game_day"]["verdict"] == "HELD"


def test_aborted_day_is_notified_as_aborted(
    project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "abort: [{promql: {name: errors, query: up, above: 1}}]\n"
    started, aborted = notified(project, receiver, monkeypatch, more)
    assert (started["event"], aborted["event"]) == ("started", "aborted")
    assert aborted["reason"] == "the game day did not begin: no Prometheus found, needed to evaluate: errors"
    assert aborted["game_day"]["verdict"] == "INCONCLUSIVE"
