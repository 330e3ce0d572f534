"""The plugin for ``--mutate``: which mutants of a session are left out, and how those that ran are shown."""

from __future__ import annotations

from typing import Any

import pytest

from harness.pytest_plugin.items import OUTCOME, SESSION_KEY, MutantItem
from harness.results.mutation_record import MutationRecord

# By outcome: category, letter and word of pytest, with the markup of the word.
_SHOWN = {
    "caught": ("passed", ".", ("CAUGHT", {"green": True})),
    "survived": ("survived", "S", ("SURVIVED", {"yellow": True})),
    "undecided": ("undecided", "U", ("UNDECIDED", {"yellow": True})),
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "mutant: a copy of an experiment whose workload lacks one thing")
    session = config.stash[SESSION_KEY]
    if session.settings.mutate:
        session.parts["mutation"] = MutationRecord(required=session.settings.mutation_score)


# Last, since with workers of pytest-xdist the plugin sorts the experiments by length.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run mutants last: each needs the verdict of its experiment, and is left out if its weakness is caught already."""
    items.sort(key=lambda item: isinstance(item, MutantItem))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave out the mutants that lack nothing, that a twin covers, or whose experiment is not selected."""
    selected = {item.nodeid for item in session.items}
    alike: dict[tuple[str, tuple[str, ...]], list[MutantItem]] = {}
    for item in session.items:
        if isinstance(item, MutantItem):
            item.choose(selected)
            alike.setdefault(item.weakness, []).append(item)
    for (_, objects), items in alike.items():
        for each in items if objects else ():
            each.compare(items)


def pytest_report_teststatus(report: pytest.TestReport | pytest.CollectReport) -> Any:  # noqa: ANN401
    if isinstance(report, pytest.TestReport) and report.when == "call" and report.passed:
        return _SHOWN.get(str(dict(report.user_properties).get(OUTCOME)))
    return None
