"""Profiles: what a file may say, and the share that a curve has at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.traffic.load.profile import Profile, load_profile

HEAD = "apiVersion: resilience/v1\nkind: LoadProfile\nmetadata: {name: mine}\n"

TOOTH = "phases: {baseline: [{at: 0s, share: 0}, {at: 2s, share: 1}]}\n"


def profile(**phases: list[tuple[float, float]]) -> Profile:
    return Profile.model_validate(
        {
            "metadata": {"name": "mine"},
            "phases": {name: [{"at": at, "share": share} for at, share in curve] for name, curve in phases.items()},
        }
    )


def refused(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "mine.yaml"
    file.write_text(HEAD + text)
    with pytest.raises(InputError) as caught:
        load_profile(file)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_share_is_interpolated_and_the_last_value_holds() -> None:
    ramp = profile(baseline=[(0, 0.1), (10, 0.5)])
    rates = [ramp.arrivals_per_second("baseline", elapsed, 100) for elapsed in (0, 5, 10, 1000)]
    assert rates == pytest.approx([10, 30, 50, 50])


def test_two_points_at_the_same_time_are_a_jump_to_the_later_one() -> None:
    spike = profile(baseline=[(0, 0.2), (2, 0.2), (2, 1.0)])
    assert spike.arrivals_per_second("baseline", 1.999, 10) == pytest.approx(2)
    assert spike.arrivals_per_second("baseline", 2, 10) == 10


def test_curve_repeats_its_last_seconds(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        HEAD
        + "phases: {baseline: [{at: 0s, share: 1}, {at: 2s, share: 0}, {at: 4s, share: 1}]}\nrepeat: {baseline: 2s}"
    )
    found = load_profile(file)
    rates = [found.arrivals_per_second("recovery", at, 100) for at in (0, 1, 2, 3.5, 4, 5, 6, 1001)]
    assert rates == pytest.approx([100, 50, 0, 75, 0, 50, 0, 50])


def test_phase_without_a_curve_uses_the_one_of_the_phase_before() -> None:
    shape = profile(fault=[(0, 1.0)], baseline=[(0, 0.5)])
    assert shape.curve("recovery") == shape.curve("fault")
    assert shape.curve("baseline")[0].share == 0.5


def test_all_mistakes_are_listed_with_their_lines(tmp_path: Path) -> None:
    problems = refused(
        tmp_path, "phases:\n  baseline:\n    - {at: soon, share: 10%}\n    - {at: 5s, share: 150%}\nrate: 5\n"
    )
    assert [problem.split(":")[0] for problem in problems] == ["6", "7", "8"]
    assert "found 'soon', expected a duration such as 200ms, 20s or 1m30s" in problems[0]
    assert "rate: unknown key" in problems[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phases: {fault: [{at: 0s, share: 10%}]}", "baseline is missing"),
        ("phases: {baseline: [{at: 1s, share: 10%}]}", "the first point must be at 0s"),
        ("phases: {baseline: []}", "the first point must be at 0s"),
        (
            "phases: {baseline: [{at: 0s, share: 1}, {at: 9s, share: 0}, {at: 3s, share: 1}]}",
            "the points must be sorted by time",
        ),
        ("phases: {baseline: [{at: 0s, share: 0%}]}", "there would be no load"),
        ("phases: {warmup: [{at: 0s, share: 10%}]}", "warmup"),
        (f"{TOOTH}repeat: {{fault: 1s}}", "fault has no curve in phases"),
        (f"{TOOTH}repeat: {{baseline: 3s}}", "found 3 s, expected at most the 2 s of its curve"),
        (f"{TOOTH}repeat: {{baseline: 1ms}}", "0.1"),
        (
            "phases: {baseline: [{at: 0s, share: 1}, {at: 1s, share: 0}, {at: 2s, share: 0}]}\nrepeat: {baseline: 1s}",
            "every share of the last 1 s is 0",
        ),
    ],
)
def test_nonsensical_profile_is_refused_with_the_reason(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(refused(tmp_path, text))


def test_a_profile_answers_to_the_name_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "yours.yaml"
    file.write_text(HEAD + "phases: {baseline: [{at: 0s, share: 1}]}")
    with pytest.raises(InputError, match=r"yours\.yaml:3: metadata\.name: found 'mine', expected 'yours'"):
        load_profile(file)
