"""The README and the pages of docs/ are true: their examples are valid, and their commands and options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.main import COMMANDS, main
from harness.common.documents import load_document
from harness.engine.options import OPTIONS
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.gameday.declaration import GameDayDeclaration
from harness.model.quantities import FROM_FILE
from tests.fake_run import write_workload

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, *PAGES]
PICTURE = ROOT / "docs" / "images" / "broken.png"
# Options of pytest itself and of other plug-ins that the documents mention.
OTHERS = {"--cluster", "--help", "--reruns"}


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


def commands(document: Path) -> Iterator[list[str]]:
    """Yield the words of every command in the shell examples of a document."""
    for block in blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith(("#", " ")):
                yield shlex.split(line, comments=True)


def test_readme_is_short() -> None:
    assert len(README.read_text().split()) < 1500


def test_picture_of_the_readme_is_there_and_small() -> None:
    assert f"]({PICTURE.relative_to(ROOT)})" in README.read_text()
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size < 200_000


def test_readme_leads_to_every_page() -> None:
    assert [page.name for page in PAGES if f"(docs/{page.name})" not in README.read_text()] == []


def test_experiments_in_the_documents_are_valid(tmp_path: Path) -> None:
    examples = [
        block
        for page in (README, ROOT / "docs" / "getting-started.md", ROOT / "docs" / "usage.md")
        for block in blocks(page, "yaml")
        if block.startswith("apiVersion: resilience/v1\nkind: Experiment\n")
    ]
    assert examples
    write_workload(tmp_path)
    for number, block in enumerate(examples):
        file = tmp_path / "experiments" / f"example-{number}.yaml"
        file.write_text(block)
        assert load_experiment(file, Sources.for_root(tmp_path)).twins


def test_game_days_in_the_documents_are_valid() -> None:
    first, *parts = blocks(ROOT / "docs" / "game-days.md", "yaml")
    name = Path("game-days.md")
    whole = load_document(name, first).data
    assert parts
    for part in (first, *parts):
        GameDayDeclaration.model_validate({**whole, **load_document(name, part).data}, context=FROM_FILE)


def test_readme_leads_from_manifests_to_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifests and the commands of "Your application in ten minutes", as far as they need no cluster."""
    (manifests,) = [block for block in blocks(README, "yaml") if "kind: Deployment" in block]
    folder = tmp_path / "experiments" / "workloads" / "shop"
    folder.mkdir(parents=True)
    (folder / "shop.yaml").write_text(manifests)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    ran = [words for words in commands(README) if words[:2] in (["harness", "new"], ["harness", "validate"])]
    assert [words[1] for words in ran] == ["new", "validate"]
    for words in ran:
        assert main(words[1:]) == 0
    assert capsys.readouterr().out.endswith("1 experiment file: no problems found\n")
    # With the readiness probe that the README adds, the experiment stays valid.
    (probe,) = re.findall(r"`(readinessProbe: \{.*?\})` in the container", README.read_text())
    line = "          ports: [{containerPort: 8080}]\n"
    assert line in manifests
    (folder / "shop.yaml").write_text(manifests.replace(line, f"{line}          {probe}\n"))
    assert main(["validate"]) == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_named_command_exists(document: Path) -> None:
    known = {command.name for command in COMMANDS}
    named = {words[1] for words in commands(document) if words[0] == "harness" and len(words) > 1}
    named |= set(re.findall(r"`harness ([a-z]+)", document.read_text()))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_option_of_pytest_exists(document: Path) -> None:
    known = {option.command_line for option in OPTIONS} | OTHERS
    named = {
        word.partition("=")[0]
        for words in commands(document)
        if words[0] == "pytest"
        for word in words
        if word.startswith("--")
    }
    assert named <= known
