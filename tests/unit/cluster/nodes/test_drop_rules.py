"""Rules that cut a node off: whoever is killed between two of them leaves a node that is known to be cut off."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from harness.cluster.nodes import drop_rules


class Firewall:
    """The rules of a node; after so many changes whoever makes them is gone."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, str, str]] = []
        self.changes = count()
        self.last: int | None = None

    def __call__(self, command: Sequence[str]) -> str:
        program, _, _, table, action, chain, *rest = command
        if action == "-S":
            return "\n".join(f"-A {chain} {rule}" for at, kind, rule in self.rules if (at, kind) == (program, table))
        if next(self.changes) == self.last:
            raise KeyboardInterrupt
        rule = (program, table, " ".join(rest))
        if action == "-I":
            self.rules.append(rule)
        else:
            self.rules.remove(rule)
        return ""


@pytest.mark.parametrize("last", range(4))
def test_partly_reconnected_node_still_counts_as_cut_off(last: int) -> None:
    firewall = Firewall()
    drop_rules.insert(firewall, "eth0")
    firewall.changes, firewall.last = count(), last
    with pytest.raises(KeyboardInterrupt):
        drop_rules.remove(firewall)
    assert drop_rules.are_set(firewall)
    firewall.last = None
    drop_rules.remove(firewall)
    assert firewall.rules == []


@pytest.mark.parametrize("last", range(1, 4))
def test_a_node_that_was_cut_off_by_half_counts_as_cut_off(last: int) -> None:
    firewall = Firewall()
    firewall.last = last
    with pytest.raises(KeyboardInterrupt):
        drop_rules.insert(firewall, "eth0")
    assert drop_rules.are_set(firewall)
