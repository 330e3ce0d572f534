"""Run a game day: pauses, rules, its state, and its verdict. pytest runs the experiments in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.common.clock import iso
from harness.common.errors import HarnessError
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.gameday.day import Day, Turn
from harness.gameday.rules import Action, Answer, DayRule
from harness.gameday.state import DayState, DayStore
from harness.model.quantities import counted, show_seconds
from harness.model.verdict import Verdict, worst
from harness.results.game_day_record import GameDayRecord, TurnRecord
from harness.results.record import ExperimentRecord
from harness.results.reporting import overview

# How often a pause looks for an emergency stop, in seconds.
LOOK = 1.0
# A rule that answers WAIT without a length is asked again after this many seconds.
ASK_AGAIN = 10.0


@dataclass
class DayRun:
    """One session of a game day. ``run`` is the ID of the session's run; ``rounds`` is None with a duration."""

    day: Day
    state: DayState
    store: DayStore
    rules: Sequence[DayRule]
    run: str
    rounds: int | None = 1
    expected: float = 0.0
    _refused: str = ""
    _aborted: str = ""
    _begun: bool = False
    _ran: int = 0
    _skips: dict[str, str] = field(default_factory=dict)

    def before(self, turn: Turn) -> str:
        """Pause, then ask the rules; return why this turn is skipped, or "" if it may run."""
        if not self._begun:
            self._begin()
        elif not self._over and self._ran:
            self._pause(self.day.game_day.declared.pause, "pause before the next experiment")
        if self._over:
            return self._over
        self._mark(turn.title)
        if self._over:
            return self._over
        answer = self._ask(lambda rule: rule.before_experiment(self.day, turn))
        if answer.action is Action.ABORT:
            self._abort(answer.reason)
        return answer.reason if answer.action is not Action.GO else self.day.halted() or ""

    def after(self, turn: Turn, node_id: str, record: ExperimentRecord | None, reason: str = "") -> None:
        """Keep the result of a turn, and ask the rules; ``reason`` is why there is no record."""
        self._ran += record is not None
        # What was interrupted, and what an emergency stop left out, runs when the day continues.
        unfinished = record.interrupted if record is not None else bool(self._over or self.day.halted())
        if not unfinished:
            done = self._turn(turn, node_id, record, reason)
            self.day.done.append(done)
            self.state.turns.append(done)
        self._mark("")
        if self._over:
            return
        answer = self._ask(lambda rule: rule.after_experiment(self.day, turn, record))
        if answer.action is Action.ABORT:
            self._abort(answer.reason)

    def arrange(self, turns: list[Turn]) -> None:
        """Let the rules change the order of turns before they begin."""
        for rule in self.rules:
            rule.arrange(self.day, turns)

    def prepare(self, run: Run, experiment: Experiment) -> tuple[Run, Experiment]:
        """Return the run and the experiment as the rules want a turn to use them."""
        for rule in self.rules:
            run, experiment = rule.prepare(self.day, run, experiment)
        return run, experiment

    def next_round(self) -> int | None:
        """Return the number of the round that follows the turns planned so far; None if there is none."""
        declared = self.day.game_day.declared
        last = max((turn.round for turn in self.day.turns), default=0)
        if self._over or self.day.halted() or declared.duration is None or not self._ran:
            return None
        passed = self.day.clock.wall() - self.day.started
        return last + 1 if passed + declared.pause < declared.duration else None

    def end(self) -> GameDayRecord:
        """End the rules and return the day's record; called once, also after Ctrl-C."""
        left = self._left()
        if not self._refused and not self.day.halted() and (not left or self._aborted):
            self.state.finished = True
        record = self.record(left)
        if self._begun:
            for rule in self.rules:
                try:
                    rule.after_day(self.day, record)
                except (HarnessError, OSError) as error:
                    self.day.progress(f"game day: {rule.name}: {error}")
        self._mark("")
        return record

    def record(self, left: Sequence[str]) -> GameDayRecord:
        """Return the day's record; ``left`` are the titles of the turns that have not run."""
        declared, turns = self.day.game_day.declared, self.state.turns
        verdicts = [turn.verdict for turn in turns if turn.verdict is not None]
        whole = not left and not self._aborted and not self._refused
        verdict = worst(verdicts) if whole or not verdicts else worst([Verdict.INCONCLUSIVE, *verdicts])
        return GameDayRecord(
            name=self.day.game_day.name,
            file=self.day.game_day.file.name,
            digest=self.day.game_day.digest,
            hypothesis=declared.hypothesis,
            seed=self.day.seed,
            started=iso(self.day.started),
            finished=iso(self.day.clock.wall()) if self.state.finished else "",
            verdict=verdict,
            reason=self._reason(verdicts, left),
            aborted=self._aborted or self._refused,
            runs=self.state.runs,
            rounds=max((turn.round for turn in turns), default=0),
            expected=self.expected,
            turns=turns,
            choice=self.state.choice,
        )

    @property
    def begun(self) -> bool:
        """Whether the rules were asked for the day."""
        return self._begun

    @property
    def _over(self) -> str:
        """Why nothing more may begin, or ""."""
        if self._refused or self._aborted:
            return self._refused or f"the game day was aborted: {self._aborted}"
        declared = self.day.game_day.declared
        if declared.duration and self._ran and self.day.clock.wall() - self.day.started >= declared.duration:
            return f"the game day's duration of {show_seconds(declared.duration)} has passed"
        return ""

    def _left(self) -> list[str]:
        done = {(turn.name, turn.twin, turn.round) for turn in self.state.turns}
        duration = self.day.game_day.declared.duration
        if duration and self.day.clock.wall() - self.day.started >= duration:
            return []
        planned = [(each.experiment.name, each.experiment.twin, each.round, each.title) for each in self.day.turns]
        return [title for name, twin, number, title in planned if (name, twin, number) not in done]

    def _begin(self) -> None:
        self._begun = True
        answer = self._ask(lambda rule: rule.before_day(self.day))
        if answer.action in (Action.SKIP, Action.ABORT):
            self._refused = f"the game day did not begin: {answer.reason}"
            return
        if self.run not in self.state.runs:
            self.state.runs.append(self.run)

    def _abort(self, reason: str) -> None:
        self._aborted = reason
        self.day.progress(f"game day {self.day.game_day.name} aborted: {reason}")

    def _ask(self, question: Callable[[DayRule], Answer]) -> Answer:
        """Return the first answer that is not GO, after all waits; a rule that fails aborts the day."""
        for rule in self.rules:
            shown = ""
            while True:
                try:
                    answer = question(rule)
                except HarnessError as error:
                    # A rule that cannot be evaluated protects nothing.
                    return Answer(Action.ABORT, f"{rule.name} could not be evaluated: {error}")
                if answer.action is not Action.WAIT:
                    break
                # A rule may wait in many short steps, which are not shown: they could show what is secret.
                if shown != answer.reason:
                    self.day.progress(f"game day: waiting: {answer.reason}")
                shown = answer.reason
                if halted := self._pause(answer.seconds or ASK_AGAIN):
                    return Answer(Action.SKIP, halted)
            if answer.action is not Action.GO:
                return answer
        return Answer()

    def _pause(self, seconds: float, why: str = "") -> str:
        """Wait, and return the reason of an emergency stop, which ends the wait; Ctrl-C ends it with its exception."""
        if seconds <= 0:
            return self.day.halted() or ""
        if why:
            self.day.progress(f"game day: {why}: {show_seconds(round(seconds, 1))}")
        end = self.day.clock.monotonic() + seconds
        while (left := end - self.day.clock.monotonic()) > 0:
            if halted := self.day.halted():
                return halted
            self.day.clock.sleep(min(LOOK, left))
        return self.day.halted() or ""

    def _turn(self, turn: Turn, node_id: str, record: ExperimentRecord | None, reason: str) -> TurnRecord:
        experiment = turn.experiment
        if record is None:
            return TurnRecord(
                id=node_id, name=experiment.name, twin=experiment.twin, round=turn.round, run=self.run, reason=reason
            )
        return TurnRecord(
            id=node_id,
            name=experiment.name,
            twin=experiment.twin,
            round=turn.round,
            run=self.run,
            started=record.started,
            finished=record.finished,
            verdict=overview.contribution(record),
            outcome=overview.verdict_text(record),
            reason="" if record.passed else overview.reason(record),
        )

    def _reason(self, verdicts: Sequence[Verdict], left: Sequence[str]) -> str:
        words = {Verdict.BROKEN: "broke", Verdict.INCONCLUSIVE: "inconclusive", Verdict.HELD: "passed"}
        counts = [f"{verdicts.count(each)} {word}" for each, word in words.items() if each in verdicts]
        skipped = sum(turn.verdict is None for turn in self.state.turns)
        counts += [f"{skipped} skipped"] if skipped else []
        text = f"{counted(len(verdicts), 'run')}: {', '.join(counts)}" if counts else "nothing was run"
        if self._refused or self._aborted:
            return f"{text}; {self._over}"
        if left:
            text += f"; interrupted, {len(left)} not run"
            # The order in which they would run is secret as long as the day may continue.
            text += "" if self.day.sealed else f": {', '.join(left[:5])}{' …' * (len(left) > 5)}"
        return text

    def _mark(self, title: str) -> None:
        # A day that did not begin leaves the state of the one before it as it is.
        if self._refused or not self._begun:
            return
        self.state.current = title
        try:
            self.store.save(self.state)
        except OSError as error:
            # Nobody could continue such a day, or see that it was interrupted. What has run stays in the record.
            if not self._over:
                self._abort(f"the state of the game day cannot be stored in {self.store.file}: {error.strerror}")
