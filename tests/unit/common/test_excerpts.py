"""Problems with their line and a caret."""

from __future__ import annotations

from pathlib import Path

from harness.common.errors import InputError, KubeconfigInvalid, Problem
from harness.common.excerpts import MAX_WIDTH, with_excerpts

TEXT = "faults:\n  - podKill: {selector: app=shop, cuont: 1}\n"


def shown(file: Path, line: int, field: str) -> list[str]:
    return with_excerpts(InputError([Problem("unknown key", file, line, field)])).splitlines()


def test_the_caret_is_below_the_key(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(TEXT)
    first, text, caret = shown(file, 2, "faults[0].podKill.cuont")
    assert first == f"{file}:2: faults[0].podKill.cuont: unknown key"
    assert text == "    2:35 |   - podKill: {selector: app=shop, cuont: 1}"
    assert caret.index("^") == text.index("cuont")
    assert caret.count("^") == len("cuont")


def test_a_field_without_a_key_gets_the_whole_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("breaks:\n  - other\n")
    _, text, caret = shown(file, 2, "breaks[0]")
    assert caret.index("^") == text.index("other")


def test_a_long_line_is_cut_around_the_key(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{" + '"a": 1, ' * 200 + '"cuont": 1}')
    _, text, caret = shown(file, 1, "cuont")
    assert caret.index("^") == text.index("cuont")
    assert len(text) < MAX_WIDTH + 20


def test_lines_that_may_hold_secrets_are_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("data: {password: hunter2}\n")
    assert "hunter2" not in "".join(shown(file, 1, "data.password"))
    assert "hunter2" not in with_excerpts(KubeconfigInvalid([Problem("wrong", file, 1, "users")]))


def test_missing_files_and_lines_have_no_excerpt(tmp_path: Path) -> None:
    assert len(shown(tmp_path / "none.yaml", 1, "a")) == 1
    (tmp_path / "a.yaml").write_text("a: 1\n")
    assert len(shown(tmp_path / "a.yaml", 7, "a")) == 1


def test_line_of_a_wrong_credential_is_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("bearer: hunter2\n")
    problem = Problem("found something else", file, 1, "load.target.auth.bearer", secret=True)
    assert with_excerpts(InputError([problem])) == f"{file}:1: load.target.auth.bearer: found something else"
