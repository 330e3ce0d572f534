"""The comparison that proves that nothing was left behind."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from harness.cluster.local import residue
from harness.cluster.local.residue import Machine

EMPTY: frozenset[str] = frozenset()
CLEAN = Machine(EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY)


@pytest.mark.parametrize("kind", [field.name for field in fields(Machine)])
def test_every_leftover_is_named_with_its_kind(kind: str) -> None:
    later = replace(CLEAN, **{kind: frozenset({"left"})})
    assert later.since(CLEAN) == [f"{kind}: left"]


def test_earlier_or_removed_objects_are_no_leftovers() -> None:
    before = replace(CLEAN, links=frozenset({"eth0", "old"}))
    assert replace(CLEAN, links=frozenset({"eth0"})).since(before) == []


def test_folder_of_a_cluster_with_a_longer_name_is_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.local.paths.state_root", lambda: tmp_path)
    monkeypatch.setattr(residue, "state_root", lambda: tmp_path)
    for name in ("shop", "shop-2", "shop.new"):
        (tmp_path / name).mkdir()
    found = {Path(path).name for path in residue._files("shop") if path.startswith(str(tmp_path))}
    assert found == {"shop", "shop.new"}
