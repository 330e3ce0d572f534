"""``--budget``: deselect the experiments that a time budget leaves out, with the same choice in all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.common.clock import parse_kubernetes_time
from harness.gameday.choice import Budget, Candidate, choose
from harness.gameday.history import History
from harness.gameday.planning import NO_OPT_IN
from harness.model.quantities import counted
from harness.pytest_plugin.earlier_runs import history_of
from harness.pytest_plugin.items import SESSION_KEY, ExperimentItem, opt_in_missing
from harness.pytest_plugin.session import Session
from harness.pytest_plugin.terminal import is_worker, progress
from harness.results.game_day_record import ChoiceRecord, LeftOutRecord
from harness.results.reporting.game_day import choice_lines

_OUTPUT = "resilience_choice"


def deselect(config: pytest.Config, items: list[pytest.Item], day: bool) -> None:
    """Keep the experiments that fit ``--budget``, the worthiest per minute first; ``day``: a game day chooses itself.

    Other tests stay, after the experiments: how long they take is unknown.
    """
    session: Session = config.stash[SESSION_KEY]
    settings = session.settings
    if settings.budget is None or not settings.cluster or day:
        return
    experiments = [item for item in items if isinstance(item, ExperimentItem)]
    families: dict[str, list[ExperimentItem]] = {}
    for item in experiments:
        families.setdefault(item.experiment.name, []).append(item)
    now = parse_kubernetes_time(session.started)
    history = history_of(session, now)
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    allowed = [family for family in families.values() if not opt_in_missing(family[0], settings)]
    candidates = [_candidate(family, history, settings.repeats.at_most) for family in allowed]
    choice = choose(candidates, history, Budget(settings.budget, workers), now, session.seed)
    names = {family[0].experiment.name for family in allowed}
    refused = [LeftOutRecord(name=name, reason=NO_OPT_IN) for name in families if name not in names]
    choice = choice.model_copy(update={"left_out": [*choice.left_out, *refused]})
    kept = [item for each in choice.chosen for item in families[each.name]]
    others = [item for item in items if not isinstance(item, ExperimentItem)]
    if dropped := [item for item in experiments if item not in kept]:
        config.hook.pytest_deselected(items=dropped)
    items[:] = [*kept, *others]
    _keep(config, session, choice, history, others)


def _candidate(family: Sequence[ExperimentItem], history: History, attempts: int) -> Candidate:
    seconds = sum(history.expected(item.experiment) * attempts for item in family)
    first = family[0].experiment
    twins = tuple(item.experiment.twin for item in family if item.experiment.twin)
    return Candidate(first.name, seconds, first.content, twins, first.disruptive)


def _keep(
    config: pytest.Config, session: Session, choice: ChoiceRecord, history: History, others: Sequence[pytest.Item]
) -> None:
    if is_worker(config):
        vars(config)["workeroutput"][_OUTPUT] = choice.model_dump_json()
        return
    session.parts["choice"] = choice
    lines = [*choice_lines(choice), *(f"note: {note}" for note in history.notes)]
    if others:
        lines.append(f"{counted(len(others), 'other test')} run in addition: how long they take is unknown")
    for line in lines:
        progress(config, line)


class BudgetReport:
    """The plugin of the process with the terminal: it receives the choice of the workers of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - a type of pytest-xdist
        text = (getattr(node, "workeroutput", None) or {}).get(_OUTPUT)
        if text:
            self._config.stash[SESSION_KEY].parts["choice"] = ChoiceRecord.model_validate_json(text)
