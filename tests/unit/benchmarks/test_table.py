"""What benchmarks print and write: every field of every row, and quantiles that are values that were seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.__main__ import NAMES


def test_table_has_every_field_and_a_dash_for_missing_values() -> None:
    rows = [{"tool": "a", "samples": 12}, {"tool": "bcd", "wall_s": 1.234567, "samples": None}]
    assert table.render(rows).splitlines() == [
        "tool  samples  wall_s",
        "a          12       –",
        "bcd         –    1.23",
    ]


def test_written_results_are_read_back_with_their_machine(tmp_path: Path) -> None:
    rows = [{"tool": "a", "median_error_s": 0.0125}]
    table.write(tmp_path / "rows.json", "accuracy", rows)
    found = json.loads((tmp_path / "rows.json").read_text())
    assert (found["benchmark"], found["rows"]) == ("accuracy", rows)
    assert found["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_quantile_is_the_smallest_value_reaching_the_share(share: float, expected: float) -> None:
    assert table.quantile([4.0, 1.0, 3.0, 2.0], share) == expected


def test_quantile_of_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        table.quantile([], 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_command_line_lists_and_explains_every_benchmark(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "--json FILE" in capsys.readouterr().out
