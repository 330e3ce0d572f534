"""What is in a locustfile: found by importing it in another process, which has a time limit.

The harness itself must not import it: Locust patches the process, and the file is anyone's code.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from harness.common.errors import InputError, Problem
from harness.common.suggestions import one_of
from harness.traffic.load.own.declaration import OwnLoad, beside

BOOT = Path(__file__).parent / "process" / "boot.py"
PYTHON_VARIABLE = "RESILIENCE_LOCUST_PYTHON"
IMPORT_LIMIT = 30.0
OLDEST_LOCUST = (2, 20)
OLDEST_PYTHON = (3, 10)
_LAST_LINES = 5


@dataclass(frozen=True)
class Locustfile:
    """The classes with their tags, the tasks' tags by class, the shapes and the options of a locustfile."""

    file: Path
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tasks: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    shapes: Mapping[str, bool] = field(default_factory=dict)
    options: Sequence[str] = ()
    locust: str = ""


def interpreter(load: OwnLoad, folder: Path) -> str:
    """Return the interpreter for a locustfile; a relative path is relative to the experiment's folder."""
    named = load.python or os.environ.get(PYTHON_VARIABLE, "")
    return str(beside(folder, named)) if named else sys.executable


def checked(load: OwnLoad, folder: Path, options: Mapping[str, object]) -> Locustfile:
    """Import the locustfile of a load in another process and check everything that the load names in it.

    ``folder`` is that of the experiment's file. Raises InputError; the field of a problem is that below ``load``, and
    its file and line, if any, are those in the locustfile.
    """
    assert load.locustfile
    file = beside(folder, load.locustfile)
    if not _is_file(file):
        message = f"found {load.locustfile!r}, expected a file: {file} {_reason(file)}"
        raise InputError([Problem(message, field="locustfile")])
    if file.suffix != ".py":
        raise InputError([Problem(f"found {load.locustfile!r}, expected a Python file", field="locustfile")])
    python = interpreter(load, folder)
    if not _is_file(Path(python)):
        variable = "" if load.python else f" (from {PYTHON_VARIABLE})"
        message = f"found {python!r}{variable}, expected a Python interpreter: such as .venv/bin/python"
        raise InputError([Problem(message, field="python")])
    found = _inspected(file, python)
    problems = list(_misfits(load, found, options))
    if problems:
        raise InputError(problems)
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # The name is too long, or a folder in it may not be searched.
        return False


def _reason(path: Path) -> str:
    try:
        return "is not a file" if path.exists() else "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


_known: dict[tuple[str, int, str], Locustfile] = {}


def _inspected(file: Path, python: str) -> Locustfile:
    # A run checks an experiment several times; the import of a file that has not changed gives the same.
    key = (str(file), file.stat().st_mtime_ns, python)
    if key not in _known:
        _known[key] = _inspect(file, python)
    return _known[key]


def _inspect(file: Path, python: str) -> Locustfile:
    with TemporaryDirectory(prefix="resilience-locustfile-") as folder:
        settings, answer = Path(folder) / "settings.json", Path(folder) / "answer.json"
        output = Path(folder) / "output.log"
        settings.write_text(json.dumps({"locustfile": str(file), "answer": str(answer)}), encoding="utf-8")
        with output.open("wb") as stream:
            code = _exit_code([python, str(BOOT), "look", str(settings)], file, stream)
        if not answer.is_file():
            last = "\n".join(output.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            message = f"{python} ended with exit code {code} while it imported the locustfile"
            message += f":\n{last}" if last else ""
            raise InputError([Problem(message, file, field="python")])
        return _read(json.loads(answer.read_text(encoding="utf-8")), file, python)


def _exit_code(command: Sequence[str], file: Path, output: IO[bytes]) -> int:
    try:
        process = subprocess.Popen(
            command,
            cwd=file.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONHOME"},
            start_new_session=True,
        )
    except OSError as error:
        raise InputError([Problem(f"{command[0]} cannot be started: {error}", field="python")]) from error
    try:
        return process.wait(timeout=IMPORT_LIMIT)
    except subprocess.TimeoutExpired as error:
        message = f"takes more than {IMPORT_LIMIT:g} s to import: it may only define classes at module level"
        raise InputError([Problem(message, file, field="locustfile")]) from error
    finally:
        # The whole session: the locustfile may have started processes that outlive the one that imports it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(answer: Mapping[str, object], file: Path, python: str) -> Locustfile:
    if "missing" in answer:
        message = f"{python} has no Locust ({answer['missing']}): install it there, or name another interpreter"
        raise InputError([Problem(message, field="python")])
    if "problem" in answer:
        line = answer.get("line")
        place = Path(str(answer.get("file") or file))
        raise InputError(
            [Problem(str(answer["problem"]), place, line if isinstance(line, int) else None, "locustfile")]
        )
    for what, oldest in (("locust", OLDEST_LOCUST), ("python", OLDEST_PYTHON)):
        version = tuple(int(part) for part in str(answer[what]).split(".")[:2] if part.isdigit())
        if version < oldest:
            wanted = ".".join(map(str, oldest))
            message = f"found {what.capitalize()} {answer[what]} in {python}, expected {wanted} or later"
            raise InputError([Problem(message, field="python")])
    # The answer is that of our own program, so its parts have the right types.
    parts: dict[str, object] = {key: answer[key] for key in ("classes", "tasks", "shapes", "options", "locust")}
    return Locustfile(file, **parts)  # type: ignore[arg-type]


def _misfits(load: OwnLoad, found: Locustfile, options: Mapping[str, object]) -> list[Problem]:
    problems = []
    if not found.classes:
        problems.append(Problem("has no User class that can run, expected one that is not abstract", found.file))
    problems += [
        Problem(f"unknown class {name}{one_of(name, found.classes)}", field="classes")
        for name in load.classes
        if name not in found.classes
    ]
    running = [name for name in load.classes if name in found.classes] or list(found.classes)
    known = sorted({tag for name in running for tag in found.classes[name]})
    for field_name in ("tags", "exclude_tags"):
        problems += [
            Problem(f"unknown tag {tag}{one_of(tag, known) or ': no task has a tag'}", field=field_name)
            for tag in getattr(load, field_name)
            if tag not in known
        ]
    if {*load.tags, *load.exclude_tags} <= set(known) and (load.tags or load.exclude_tags):
        problems += [
            Problem(f"{name} has no task left with these tags", field="tags" if load.tags else "exclude_tags")
            for name in running
            if not _left(found.tasks[name], load)
        ]
    problems += _shape_misfits(load, found)
    for name in options:
        if name not in found.options:
            declared = one_of(name, found.options) or ": the locustfile declares no options"
            problems.append(Problem(f"unknown option {name}{declared}", field="options"))
    return [Problem(one.message, one.file, one.line, one.field or "locustfile") for one in problems]


def _left(tasks: Sequence[Sequence[str]], load: OwnLoad) -> bool:
    return any(
        (not load.tags or set(tags) & set(load.tags)) and not set(tags) & set(load.exclude_tags) for tags in tasks
    )


def _shape_misfits(load: OwnLoad, found: Locustfile) -> list[Problem]:
    if load.shape:
        if load.shape not in found.shapes:
            return [
                Problem(
                    f"unknown shape {load.shape}{one_of(load.shape, found.shapes) or ': the locustfile has none'}",
                    field="shape",
                )
            ]
        if load.users is not None and not found.shapes[load.shape]:
            message = f"found users, but the shape {load.shape} sets the users itself (no use_common_options)"
            return [Problem(message, field="users")]
        return []
    if load.users is not None or load.arrival_rate is not None or len(found.shapes) == 1:
        return []
    expected = "expected users: N (closed model), rate: N/s (open model) or a LoadTestShape in the locustfile"
    if found.shapes:
        expected = f"expected shape: one of {', '.join(found.shapes)}"
    return [Problem(f"the number of users is missing: {expected}", field="locustfile")]
