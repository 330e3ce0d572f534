"""The root of a project: what paths in its files may not leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.project import root_of


@pytest.mark.parametrize(
    ("there", "root"),
    [
        ([".git/", "app/pyproject.toml"], "."),
        (["app/.git", "pyproject.toml"], "app"),
        (["app/tox.ini", "pyproject.toml"], "app"),
        (["pytest.ini"], "."),
        ([], "app"),
    ],
    ids=["repository", "submodule", "nearest configuration", "configuration", "above experiments"],
)
def test_root_is_the_repository_or_the_configured_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], root: str
) -> None:
    # The search ends at the home folder: what lies above the test's folder must not matter.
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "app/experiments/checkout"
    folder.mkdir(parents=True)
    for name in there:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).touch()
    assert root_of(folder) == tmp_path / root


def test_folder_without_any_mark_is_its_own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "checks").mkdir()
    assert root_of(tmp_path / "checks") == tmp_path / "checks"
