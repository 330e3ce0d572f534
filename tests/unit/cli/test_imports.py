"""Commands import only what they need, so that `harness --help` and shell completion are quick."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from harness.cli.main import COMMANDS, parser

# Packages that take long to import. Nothing that only prints help needs one of them.
CLIENTS = frozenset({"kubernetes", "requests", "cryptography", "locust", "gevent", "prometheus_api_client"})
HEAVY = CLIENTS | {"pydantic", "urllib3", "websocket", "yaml", "jinja2", "orjson", "pytest"}
# Runs the command in a fresh interpreter and prints the top-level packages that it has imported.
PROGRAM = """
import contextlib, io, sys
from harness.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(*{name.partition(".")[0] for name in sys.modules})
"""


def imported(arguments: Sequence[str]) -> set[str]:
    """Return the packages that a command imports."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["validate", "--help"], ["list", "--help"], ["explain", "--help"]]
)
def test_help_imports_no_heavy_package(arguments: list[str]) -> None:
    found = imported(arguments)
    assert "harness" in found
    assert found & HEAVY == set()


@pytest.mark.parametrize("arguments", [["schema", "experiment"], ["list", "faults"], ["explain", "podKill"]])
def test_models_import_no_client(arguments: list[str]) -> None:
    assert imported(arguments) & CLIENTS == set()


def test_every_command_can_be_loaded() -> None:
    assert [command.name for command in COMMANDS if not callable(command.load())] == []


def test_only_the_chosen_command_has_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser("validate").parse_args(["validate", "--help"])
    assert "files or folders" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        parser("validate").parse_args(["halt", "--reason", "x"])
