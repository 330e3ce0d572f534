"""``loads``: several loads by name, and the objectives that judge one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.explanation import explain
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import EXPERIMENT, write_project

HEAD = EXPERIMENT[: EXPERIMENT.index("objectives:")]
BROWSE = "browse: {rate: 20/s, target: service/shop}"
BUY = "buy: {rate: 5/s, target: service/shop, options: {readTimeout: 1s, connectTimeout: 1s}}"
OWN = "own: {locustfile: own.py, users: 3, target: service/shop}"


def problems(root: Path, loads: str, objectives: str, more: str = "") -> list[str]:
    (root / "experiments").mkdir(exist_ok=True)
    (root / "experiments/own.py").write_text(
        "from locust import HttpUser, task\n\n\nclass Own(HttpUser):\n    @task\n    def home(self):\n        pass\n"
    )
    text = f"{HEAD}loads: {{{loads}}}\nobjectives: [{objectives}]\n{more}"
    file = write_project(root, text)
    try:
        load_experiment(file, Sources.for_root(root))
    except InputError as error:
        return [str(problem).partition("one-killed.yaml:")[2] for problem in error.problems]
    return []


def test_every_load_has_its_own_objectives(tmp_path: Path) -> None:
    objectives = "availability: {min: 99%, load: browse}}, {latency: {share: 95%, below: 1s, load: buy}"
    text = f"{HEAD}loads: {{{BROWSE}, {BUY}}}\nobjectives: [{{{objectives}}}]\n"
    experiment = load_experiment(write_project(tmp_path, text), Sources.for_root(tmp_path))
    assert [load.rate for load in experiment.every_load.values()] == [20, 5]
    assert [list(experiment.loads_of(each)) for each in experiment.objectives] == [["browse"], ["buy"]]
    assert [each.title for each in experiment.objectives] == [
        "availability at least 99% (load browse)",
        "95% of requests below 1 s (load buy)",
    ]


@pytest.mark.parametrize(
    ("loads", "objectives", "more", "expected"),
    [
        (
            f"{BROWSE}, {BUY}",
            "{availability: {min: 99%, load: by}}",
            "",
            "10: objectives[0].availability.load: found 'by', expected the name of one of the loads: browse, buy",
        ),
        (BROWSE, "{availability: {min: 99%}}", "", "9: loads: found one load, expected at least two"),
        (
            f"{BROWSE}, {BUY}",
            "{availability: {min: 99%}}",
            "load: {rate: 5/s, target: service/shop}\n",
            "9: loads: found both load and loads, expected one of them",
        ),
        (
            f"{BROWSE}, {BUY}",
            "{latency: {share: 95%, below: 3s}}",
            "",
            "objectives[0].latency.below: found 3 s, expected less than the 2 s after which a request times out "
            "(loads.buy.options: connectTimeout and readTimeout)",
        ),
        (
            f"{BROWSE}, {BUY.replace('5/s', '5/s, profile: stedy')}",
            "{availability: {min: 99%}}",
            "",
            "9: loads.buy.profile: found the load profile 'stedy'",
        ),
        (
            f"{BROWSE}, buy: {{target: service/shop}}",
            "{availability: {min: 99%}}",
            "",
            "9: loads.buy: rate is missing, expected arrivals per second",
        ),
        (
            f"{BROWSE}, {OWN}",
            "{availability: {min: 99%}}",
            "",
            "10: objectives[0].availability: load is missing, expected one of browse, own: users of own wait for their",
        ),
        (
            f"{BROWSE}, {OWN}",
            "{availability: {min: 99%, load: own, abortOnBreach: true}}",
            "",
            "objectives[0].availability.abortOnBreach: found abortOnBreach, expected it with rate alone",
        ),
    ],
)
def test_loads_and_objectives_that_do_not_fit_are_refused(
    tmp_path: Path, loads: str, objectives: str, more: str, expected: str
) -> None:
    assert expected in "\n".join(problems(tmp_path, loads, objectives, more))


def test_load_that_is_judged_alone_needs_no_other_time_limit(tmp_path: Path) -> None:
    assert problems(tmp_path, f"{BROWSE}, {BUY}", "{latency: {share: 95%, below: 3s, load: browse}}") == []


def test_early_end_needs_one_request_for_each_arrival(tmp_path: Path) -> None:
    steps = "behaviour: session, options: {steps: [{name: a}, {name: b}]}"
    loads = f"{BROWSE}, buy: {{rate: 5/s, target: service/shop, {steps}}}"
    found = problems(tmp_path, loads, "{availability: {min: 99%, load: buy, abortOnBreach: true}}")
    assert found[0].startswith(
        "10: objectives[0].availability.abortOnBreach: found abortOnBreach with the behaviour session"
    )
    assert problems(tmp_path, loads, "{availability: {min: 99%, load: browse, abortOnBreach: true}}") == []


def test_file_of_an_option_is_read_beside_the_experiment(tmp_path: Path) -> None:
    steps = "behaviour: session, options: {data: {user: '${file:users.csv}'}, steps: [{name: a, path: '/${user.id}'}]}"
    loads = f"{BROWSE}, buy: {{rate: 5/s, target: service/shop, {steps}}}"
    (found,) = problems(tmp_path, loads, "{availability: {min: 99%}}")
    assert found.startswith("9: loads.buy.options: found ${file:users.csv}, which cannot be read: No such file")
    (tmp_path / "experiments/users.csv").write_text("id\n7\n")
    assert problems(tmp_path, loads, "{availability: {min: 99%}}") == []


def test_name_without_several_loads_is_refused(tmp_path: Path) -> None:
    text = f"{HEAD}load: {{rate: 5/s, target: service/shop}}\nobjectives: [{{availability: {{min: 99%, load: x}}}}]\n"
    with pytest.raises(InputError, match="expected the name of one of the loads: none, since"):
        load_experiment(write_project(tmp_path, text), Sources.for_root(tmp_path))


def test_fields_of_several_loads_are_explained() -> None:
    (found,) = explain("experiment.loads")
    assert "several loads at once" in found.about
    assert {"profile", "rate", "target"} <= {field.name for field in found.fields}
