"""Surprise mode: nothing of the plan is shown before it is opened, and it is the plan that was sealed."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from harness.engine.runner import Runner
from harness.gameday.rules import Action, Answer, DayRule, rules_for
from harness.gameday.sealing import SealedPlan
from harness.results.game_day_record import GameDayRecord, TurnRecord
from tests.unit.gameday.fake_day import FakeDay

SURPRISE = "surprise: {within: 6h}\nwindows: {allow: ['Mon-Fri 09:00-12:00', 'Mon-Fri 14:00-16:00']}\n"
MONDAY = datetime.fromisoformat("2026-11-23T09:00:00+00:00").timestamp()


def _begun(root: Path, more: str = SURPRISE) -> tuple[FakeDay, DayRule, list[Answer]]:
    """A day whose surprise rule answered GO or ABORT, and all of its answers."""
    fake = FakeDay(root, more)
    fake.clock.set_wall(MONDAY - fake.clock.wall())
    rule = rules_for(fake.day.game_day)[0]
    return fake, rule, _wait(fake, rule)


def _wait(fake: FakeDay, rule: DayRule) -> list[Answer]:
    answers = [rule.before_day(fake.day)]
    while answers[-1].action is Action.WAIT:
        fake.clock.advance(answers[-1].seconds)
        answers.append(rule.before_day(fake.day))
    return answers


def _finish(fake: FakeDay, rule: DayRule, finished: str = "now") -> GameDayRecord:
    record = GameDayRecord(name="friday", finished=finished)
    rule.after_day(fake.day, record)
    return record


def test_day_begins_at_the_sealed_start(tmp_path: Path) -> None:
    fake, rule, answers = _begun(tmp_path)
    assert answers[-1].action is Action.GO
    began = fake.clock.wall()
    record = _finish(fake, rule)
    assert record.sealed
    plan = SealedPlan(record.sealed.salt, record.sealed.content)
    start = datetime.fromisoformat(plan.plan["start"]).timestamp()
    assert start <= began < start + 1
    assert plan.plan["turns"] == [turn.title for turn in fake.day.turns]
    assert sorted(plan.plan["turns"]) == ["one", "three", "two"]


def test_only_the_hash_is_shown_before_the_end(tmp_path: Path) -> None:
    fake, rule, answers = _begun(tmp_path)
    assert len(fake.said) == 1
    digest = fake.said[0].rpartition(" ")[2]
    assert len(digest) == 64
    assert {answer.reason for answer in answers[:-1]} <= {"the plan is sealed, waiting for its start"}
    assert max(answer.seconds for answer in answers) <= 60, "the time that is left would show the start"
    run, _ = rule.prepare(fake.day, fake.run, fake.day.turns[0].experiment)
    run.progress("two: injecting podKill into pod two-abc")
    assert fake.day.shown(fake.day.turns[0]) == "experiment 1"
    assert fake.stage.said == []
    record = _finish(fake, rule)
    assert record.sealed
    assert record.sealed.hash == digest
    assert "injecting podKill into pod two-abc" in fake.stage.said[0]
    shown = "\n".join(fake.said)
    assert record.sealed.salt in shown
    assert record.sealed.content in shown
    assert record.sealed.command in shown
    assert (fake.day.folder / "sealed-plan.txt").read_text() == f"{record.sealed.salt}\n{record.sealed.content}\n"


def test_messages_about_safety_are_shown_at_once(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path)
    run, _ = rule.prepare(fake.day, fake.run, fake.day.turns[0].experiment)
    loud = [
        "two: UNDO FAILED: scale deployment/two back to 3",
        "two: stopped early: errors was 6, above 5",
        "LEFT BEHIND in namespace rh-two: pod x",
        "halted by ann: the shop is on fire",
        "Lease not renewed for 42 s",
        "sealed-1: INCONCLUSIVE: UNDO FAILED: scale deployment/two back to 3",
    ]
    quiet = [
        "two: baseline 10 s",
        "two: phase fault",
        "sealed-1: undoing",
        "sealed-1: undoing podKill → pod/podinfo-0",
        "sealed-1: HELD: recovery of deployment/podinfo within 15 s: none of 1450 requests failed",
        "sealed-1: BROKEN: rollout of deployment/podinfo halts within 20 s: it did not halt",
    ]
    for line in [*loud, *quiet]:
        run.progress(line)
    assert fake.stage.said == loud


def test_victims_are_drawn_from_a_seed_that_is_not_shown(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path)
    run, _ = rule.prepare(fake.day, fake.run, fake.day.turns[0].experiment)
    record = _finish(fake, rule)
    assert record.sealed
    assert run.seed == SealedPlan("", record.sealed.content).plan["victimSeed"]
    assert run.seed != fake.run.seed


def test_plan_is_kept_where_only_the_user_may_read_it(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path)
    [file] = fake.day.folder.glob(".sealed-plan-*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    _finish(fake, rule)
    assert not file.exists()


@pytest.mark.parametrize("done", [0, 1], ids=["in the first", "after it"])
def test_interrupted_day_continues_with_the_same_plan(tmp_path: Path, done: int) -> None:
    fake, rule, _ = _begun(tmp_path)
    titles = [turn.title for turn in fake.day.turns]
    rule.prepare(fake.day, fake.run, fake.day.turns[0].experiment)
    record = _finish(fake, rule, finished="")
    assert record.sealed
    assert record.sealed.salt == ""
    assert record.sealed.content == ""
    again = FakeDay(tmp_path, SURPRISE)
    again.clock.set_wall(fake.clock.wall() - again.clock.wall())
    again.day.folder = tmp_path / "reports" / "run2"
    again.day.done = [TurnRecord(id="x", name=titles[0])][:done]
    again.day.continued = True
    rule = rules_for(again.day.game_day)[0]
    assert _wait(again, rule)[-1].action is Action.GO
    assert [turn.title for turn in again.day.turns] == titles
    assert record.sealed.hash in again.said[0]
    opened = _finish(again, rule)
    assert opened.sealed
    assert opened.sealed.hash == record.sealed.hash
    assert list((tmp_path / "reports").glob("*/.sealed-plan-*")) == []


def test_plan_of_a_day_that_never_began_is_opened(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path)
    # Nothing is stored before the first experiment, so that this plan is never continued.
    record = _finish(fake, rule, finished="")
    assert record.sealed
    assert SealedPlan(record.sealed.salt, record.sealed.content).hash == record.sealed.hash == fake.day.sealed


def test_new_day_draws_a_new_plan(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path)
    _finish(fake, rule, finished="")
    fake.day.folder = tmp_path / "reports" / "run2"
    fresh = rules_for(fake.day.game_day)[0]
    fresh.before_day(fake.day)
    assert fake.said[0] != fake.said[-1]


def test_order_stays_as_listed_if_it_is_not_drawn(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path, "surprise: {within: 6h, order: false}\n")
    rule.arrange(fake.day, fake.day.turns)
    assert [turn.title for turn in fake.day.turns] == ["one", "two", "three"]


def test_rounds_stay_one_after_another(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, SURPRISE, names=tuple("abcdef"))
    fake.clock.set_wall(MONDAY - fake.clock.wall())
    fake.day.turns += [replace(turn, round=2) for turn in fake.day.turns]
    rule = rules_for(fake.day.game_day)[0]
    rule.arrange(fake.day, fake.day.turns)
    assert [turn.round for turn in fake.day.turns] == [1] * 6 + [2] * 6
    third = [replace(turn, round=3) for turn in fake.day.turns[:6]]
    drawn = list(third)
    rule.arrange(fake.day, drawn)
    assert sorted(turn.title for turn in drawn) == sorted(turn.title for turn in third)
    assert len(fake.said) == 1, "sealed once"


def test_surprise_without_an_open_window_is_refused(tmp_path: Path) -> None:
    _, _, answers = _begun(tmp_path, "surprise: {within: 1h}\nwindows: {allow: ['Sat 09:00-12:00']}\n")
    assert [answer.action for answer in answers] == [Action.ABORT]
    assert "no start is possible within 1 h (surprise.within)" in answers[0].reason


def test_names_in_the_cluster_do_not_show_the_experiment(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path)
    names = []
    for turn in fake.day.turns:
        run, prepared = rule.prepare(fake.day, fake.run, replace(turn.experiment, twin="weak"))
        names += [run.namespace_of(prepared), run.namespace_of(prepared, control=True), prepared.title, prepared.label]
        assert prepared.name == turn.experiment.name, "the record has the real name"
    assert names[:4] == ["rh-sealed-1-run1", "rh-sealed-1--control-run1", "sealed-1", "sealed-1"]
    assert len(set(names)) == 9


def test_experiment_runs_under_its_alias(tmp_path: Path) -> None:
    fake, rule, _ = _begun(tmp_path)
    run, prepared = rule.prepare(fake.day, fake.run, fake.day.turns[0].experiment)
    seen: list[str] = []
    run = replace(run, progress=seen.append)
    record = Runner(run, prepared, "friday.yaml::surprise-1").run()
    assert record.name == fake.day.turns[0].experiment.name
    assert record.namespace == "rh-sealed-1-run1"
    assert seen
    assert [line for line in seen if record.name in line] == []
