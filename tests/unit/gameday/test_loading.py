"""Game day files are read and checked as experiments are."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.files import experiment_files, game_day_files, is_experiment, is_game_day
from harness.gameday.loading import load_game_day

PLAIN = """\
apiVersion: resilience/v1
kind: GameDay
metadata: {name: friday}
hypothesis: Users notice nothing.
experiments: {paths: [a.yaml]}
"""


def _file(folder: Path, text: str = PLAIN) -> Path:
    file = folder / "friday.yaml"
    file.write_text(text)
    return file


def _problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as found:
        load_game_day(_file(folder, text))
    return [f"{problem.line} {problem.field}: {problem.message}" for problem in found.value.problems]


def test_smallest_game_day_is_loaded(tmp_path: Path) -> None:
    day = load_game_day(_file(tmp_path))
    assert (day.name, day.declared.chosen_order, day.declared.pause) == ("friday", "listed", 0.0)


def test_game_day_with_a_budget_is_ordered_by_value(tmp_path: Path) -> None:
    day = load_game_day(_file(tmp_path, PLAIN + "budget: 45m\n"))
    assert (day.declared.budget, day.declared.chosen_order) == (2700.0, "value")


def test_every_mistake_is_reported_with_its_line(tmp_path: Path) -> None:
    wrong = PLAIN.replace("friday", "Friday!") + "budgte: 45m\npause: 5\norder: any\ntwins: 1\n"
    found = _problems(tmp_path, wrong)
    places = {each.partition(":")[0] for each in found}
    assert places == {"3 metadata.name", "8 order", "9 twins", "7 pause", "6 budgte"}
    assert any("did you mean" in each or "budget" in each for each in found if "budgte" in each)


def test_selector_that_cannot_be_parsed_is_reported(tmp_path: Path) -> None:
    (found,) = _problems(tmp_path, PLAIN.replace("[a.yaml]", "[a.yaml], selector: '=='"))
    assert found.startswith("5 experiments.selector: found '==', expected a label selector")


@pytest.mark.parametrize("other", ["rounds: 2", "budget: 45m"])
def test_duration_excludes_rounds_and_budget(tmp_path: Path, other: str) -> None:
    (found,) = _problems(tmp_path, f"{PLAIN}duration: 4h\n{other}\n")
    assert found.startswith(("7 ", "6 "))
    assert "duration" in found


def test_digest_depends_on_the_content_only(tmp_path: Path) -> None:
    before = load_game_day(_file(tmp_path)).digest
    assert load_game_day(_file(tmp_path, f"# A comment\n{PLAIN}")).digest == before
    assert load_game_day(_file(tmp_path, f"{PLAIN}pause: 5m\n")).digest != before


@pytest.mark.parametrize("kind", ["GameDay", "Gameday", "game-day"])
def test_game_day_is_no_experiment(tmp_path: Path, kind: str) -> None:
    file = _file(tmp_path, PLAIN.replace("kind: GameDay", f"kind: {kind}"))
    assert is_game_day(file)
    assert not is_experiment(file)
    assert game_day_files(tmp_path) == [file]
    assert experiment_files(tmp_path) == []


def test_misspelt_kind_is_reported(tmp_path: Path) -> None:
    (found,) = _problems(tmp_path, PLAIN.replace("kind: GameDay", "kind: Gameday"))
    assert found.startswith("2 kind: found 'Gameday', expected")


def test_game_day_without_an_api_version_is_reported(tmp_path: Path) -> None:
    file = _file(tmp_path, PLAIN.replace("apiVersion: resilience/v1\n", ""))
    assert is_game_day(file)
    assert not is_experiment(file)
    (found,) = _problems(tmp_path, file.read_text())
    assert found.endswith("apiVersion: missing, and it is required")


def test_game_day_of_another_program_is_left_alone(tmp_path: Path) -> None:
    assert not is_game_day(_file(tmp_path, PLAIN.replace("resilience/v1", "other.example/v1")))


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("surprise: yes", "6 surprise: found true, expected a mapping"),
        ("abort: {}", "6 abort: found {}, expected a list"),
        ("load: 3", "6 load: found 3, expected a mapping"),
        ("rounds: 0", "6 rounds: found 0, expected at least 1"),
        ("rounds: none", "6 rounds: found 'none', expected a whole number"),
        ("order: sideways", "6 order: found 'sideways', expected 'listed', 'random' or 'value'"),
        ("twins: perhaps", "6 twins: found 'perhaps', expected true or false"),
        ("pause: -1", "6 pause: found -1, expected a duration of at least 0s, such as 20s"),
        ("pause: -5s", "6 pause: found '-5s', expected a duration of at least 0s, such as 20s"),
        ("budget: 0s", "6 budget: found '0s', expected more than 0"),
        ("response: {alerts: ['']}", "6 response.alerts[0]: found '', expected"),
        ("surprise: {within: 99999999h}", "6 surprise.within: found 99999999 h, expected at most 8784 h"),
        ("windows: {allow: []}", "6 windows.allow: found [], expected a list of at least 1"),
        (
            "abort: [{promql: {name: a, query: up, above: 1}}, {promql: {name: a, query: down, above: 3}}]",
            "6 abort: found the name 'a' twice, expected unique names",
        ),
        (
            "abort: [{alert: {name: Down}}, {alert: {name: Down}}]",
            "6 abort: found the name 'alert Down: number of firing instances' twice",
        ),
        ("metadata:", "6 metadata: duplicate key"),
    ],
)
def test_message_has_the_words_of_yaml(tmp_path: Path, more: str, wrong: str) -> None:
    (found,) = _problems(tmp_path, f"{PLAIN}{more}\n")
    assert found.startswith(wrong)


def test_unknown_capability_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    (found,) = _problems(tmp_path, PLAIN.replace("[a.yaml]", "[a.yaml], capabilities: [node-powr]"))
    assert found.startswith("5 experiments.capabilities[0]: found 'node-powr', expected a capability of a cluster, did")
    assert "did you mean node-power?" in found


def test_alerts_that_differ_in_their_labels_are_two_rules(tmp_path: Path) -> None:
    rules = "abort: [{alert: {name: Down}}, {alert: {name: Down, labels: {severity: page}}}]\n"
    names = [rule.condition.name for rule in load_game_day(_file(tmp_path, PLAIN + rules)).declared.abort]
    assert names == [
        "alert Down: number of firing instances",
        'alert Down{severity="page"}: number of firing instances',
    ]
