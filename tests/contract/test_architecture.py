"""The documents are true: the files that they name exist, links lead somewhere, and every module has a docstring."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from scripts.tiers import LINT, TIERS

ROOT = Path(__file__).resolve().parents[2]
# Written by builds and runs, so not in a fresh clone.
MADE = ("reports/",)
FOLDERS = "harness|tests|scripts|experiments|loadprofiles|examples|docs|benchmarks"
NAMED = re.compile(rf"(?<![\w/.$~-])((?:{FOLDERS})/[\w./-]*[\w/]|[\w-]+\.(?:md|toml|lock))")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "README.md"],
    key=lambda file: file.relative_to(ROOT),
)
# What a reader writes, not what is here.
OWN = re.compile(r"experiments/(workloads/shop|shop-|PROMISE/)[\w./-]*|loadprofiles/NAME\.\w+")


def document_id(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=document_id)
def test_every_named_path_exists(document: Path) -> None:
    text = LINK.sub("]()", OWN.sub("", document.read_text()))
    named = {found for found in NAMED.findall(text) if not found.startswith(MADE) and found != "summary.md"}
    assert len(named) > 2 or document.parent != ROOT
    assert {path for path in named if not (ROOT / path).exists() and not (document.parent / path).exists()} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=document_id)
def test_every_link_leads_to_a_file(document: Path) -> None:
    targets = {found for found in LINK.findall(document.read_text()) if "://" not in found}
    assert {target for target in targets if not (document.parent / target).exists()} == set()


def test_architecture_names_every_package() -> None:
    packages = {folder.parent.name for folder in (ROOT / "harness").glob("*/__init__.py")}
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert {package for package in packages if f"harness/{package}" not in text} == set()


def test_every_decision_is_listed_and_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(file for file in folder.glob("*.md") if file.name != "README.md")
    assert [page.name for page in pages if f"({page.name})" not in (folder / "README.md").read_text()] == []
    assert [page.name[:2] for page in pages] == [f"{number:02}" for number in range(1, len(pages) + 1)]
    for page in pages:
        for section in page.read_text().split("\n## ")[1:]:
            missing = [part for part in ("Context", "Decision", "Consequences") if f"**{part}.**" not in section]
            assert missing == [], f"{page.name}: {section.splitlines()[0]}"


def test_pre_commit_runs_the_linters_of_scripts_test() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    commands = [hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]]
    assert commands == [" ".join(command) for command in LINT]
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repository["hooks"])


def test_contributing_describes_every_tier() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    commands = ["scripts/test" if tier == "core" else f"scripts/test {tier}" for tier in TIERS]
    assert [command for command in commands if f"`{command}`" not in text] == []


MODULES = sorted(path for path in (ROOT / "harness").rglob("*.py") if path.read_text().strip())


def test_every_module_has_a_docstring() -> None:
    assert [path.name for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_module_has_outgrown_its_noun() -> None:
    """A file of more than 350 lines holds more than one noun."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 350} == {}
