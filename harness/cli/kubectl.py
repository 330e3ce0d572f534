"""``kubectl resilience``: the harness as a plugin of kubectl, on the current context or that of ``--context``.

kubectl runs ``kubectl-resilience`` with the words after ``resilience``, and for completion
``kubectl_complete-resilience`` with the words so far; that prints one proposal a line, and last a colon with a
directive of cobra's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence

from harness.cli.main import BAD_INPUT
from harness.cli.main import main as harness
from harness.cli.main import parser as harness_parser

# Commands of the plugin: those of `harness` with the same options, and two that start pytest.
PASSED = ("list", "halt", "report", "sweep", "schedule")
RUNNING = {"run": "run experiment files on the cluster", "plan": "show victims, calls and undo, change nothing"}
# Of these, the command itself contacts no cluster.
_WITHOUT_CLUSTER = {"list", "report"}
_LOCAL_VERBS = {"render"}
# Cobra's directives: complete file names if nothing is proposed, or never.
_FILES, _NO_FILES = 0, 4
_VALUED = ("--context", "--kubeconfig")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the plugin and return its exit code: that of ``harness``, or of pytest."""
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    if not words or words[0] in {"-h", "--help"}:
        print(_help())
        return 0
    command, rest = words[0], words[1:]
    if command in RUNNING:
        return subprocess.run(pytest_command(command, rest), check=False).returncode
    if command in PASSED:
        return harness(harness_words(command, rest))
    print(f"found {command!r}, expected one of {', '.join([*RUNNING, *PASSED])}", file=sys.stderr)
    return BAD_INPUT


def pytest_command(command: str, rest: Sequence[str]) -> list[str]:
    """Return the command line that runs or plans experiments."""
    plan = ["--plan"] if command == "plan" else []
    return [sys.executable, "-m", "pytest", *_on_cluster(rest), *plan]


def harness_words(command: str, rest: Sequence[str]) -> list[str]:
    """Return the words for ``harness``: kubectl's options become those of the harness."""
    verb = next((word for word in rest if not word.startswith("-")), "")
    if command in _WITHOUT_CLUSTER or verb in _LOCAL_VERBS or {"-h", "--help"} & set(rest):
        return [command, *rest]
    if command == "schedule" and not verb:
        return [command, *rest]
    if command == "sweep" and "--in-cluster" in rest:
        return [command, *rest]
    return [command, *_on_cluster(rest)]


def _on_cluster(words: Sequence[str]) -> list[str]:
    """Return the words with ``--context`` translated; without it, the current context."""
    found: list[str] = []
    cluster = "--cluster=current"
    given = iter(words)
    for word in given:
        name, equals, value = word.partition("=")
        if name == "--context":
            cluster = f"--cluster={value if equals else next(given, '')}"
        elif name == "--cluster":
            cluster = word
        else:
            found.append(word)
    return [*found, cluster]


def complete(arguments: Sequence[str] | None = None) -> int:
    """Print the proposals for the last word, as kubectl's completion of plugins expects."""
    words = [*(sys.argv[1:] if arguments is None else arguments)] or [""]
    proposals = sorted(set(_proposals(words[:-1], words[-1])))
    for each in proposals:
        print(each)
    print(f":{_NO_FILES if proposals else _FILES}")
    return 0


def _proposals(before: Sequence[str], last: str) -> Iterator[str]:
    if not before:
        yield from (name for name in (*RUNNING, *PASSED) if name.startswith(last))
        return
    command = before[0]
    if before[-1] in _VALUED:
        return
    if last.startswith("-"):
        yield from (name for name in _VALUED if name.startswith(last))
    if command not in PASSED:
        return
    chosen = _chosen(harness_parser(command), before)
    for action in chosen._actions:  # noqa: SLF001 - argparse has no public way to list them
        if last.startswith("-"):
            yield from (name for name in action.option_strings if name.startswith(last))
        elif not action.option_strings and action.choices:
            yield from (str(choice) for choice in action.choices if str(choice).startswith(last))


def _chosen(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the innermost command that the words select."""
    for word in words:
        for action in parser._actions:  # noqa: SLF001
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:  # noqa: SLF001
                parser = action.choices[word]
                break
    return parser


def _help() -> str:
    known = {action.dest: action.help or "" for action in _choices()}
    lines = [f"  {name:10}{about}" for name, about in RUNNING.items()]
    lines += [f"  {name:10}{known.get(name, '')}" for name in PASSED]
    return "\n".join(
        [
            "usage: kubectl resilience COMMAND [--context NAME] …",
            "",
            "The options of a command are those of `harness COMMAND`; run and plan take those of pytest.",
            "",
            *lines,
        ]
    )


def _choices() -> Iterator[argparse.Action]:
    for action in harness_parser("")._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action._choices_actions  # noqa: SLF001
