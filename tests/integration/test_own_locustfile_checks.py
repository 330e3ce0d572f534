"""What is in a locustfile is found by importing it in another process, and what is wrong has its line."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness.common.errors import InputError, Problem
from harness.experiment.load import Load
from harness.traffic.load.own import inspection
from harness.traffic.load.own.inspection import Locustfile, checked

FILES = Path(__file__).parent / "locustfiles"
USER = "from locust import HttpUser, LoadTestShape, task\nclass Reader(HttpUser):\n    @task\n    def go(self): pass\n"


def look(file: str | Path, folder: Path = FILES, **load: object) -> Locustfile:
    given = {"locustfile": str(file), "target": "service/shop"} | load
    declared = Load.model_validate({"users": 1} | given if not {"rate", "users", "shape"} & set(load) else given)
    return checked(declared, folder, declared.options)


def problem(file: str | Path, folder: Path = FILES, **load: object) -> Problem:
    with pytest.raises(InputError) as raised:
        look(file, folder, **load)
    (found,) = raised.value.problems
    return found


def written(folder: Path, text: str) -> Path:
    file = folder / "locustfile.py"
    file.write_text(text)
    return file


def test_classes_tags_shapes_and_options_are_found() -> None:
    assert look("shop.py").classes == {"Visitor": ["browse", "check"], "Admin": ["admin"]}
    assert look("fast.py").shapes == {"Steps": False}
    assert list(look("custom.py").options) == ["greeting"]
    # Also tasks in nested sets.
    assert look("fast.py").tasks["Reader"] == [[], []]


def test_the_harness_does_not_import_it() -> None:
    look("shop.py")
    assert not {"locust", "gevent", "shop"} & set(sys.modules)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("import locust\n\ndef broken(:\n", 3, "is not valid Python"),
        ("import locust\nimport nothing_here\n", 2, "raises ModuleNotFoundError .*nothing_here"),
        ("import locust\n\ndef f():\n    return {}['x']\n\nf()\n", 4, "raises KeyError when it is imported: 'x'"),
        ("import sys\nsys.exit('no')\n", 2, r"ends the process \(exit code no\)"),
        ("import os\nos._exit(3)\n", None, "ended with exit code 3"),
        ("from locust import HttpUser\n", None, "has no User class that can run"),
        ("\x00", None, "null bytes"),
    ],
    ids=["syntax", "import", "raise", "exit", "dies", "empty", "null"],
)
def test_a_locustfile_that_cannot_be_imported_has_its_line(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    found = problem(written(tmp_path, text))
    assert (found.file, found.line) == (tmp_path / "locustfile.py", line)
    assert re.search(message, found.message)


def test_a_syntax_error_in_a_module_beside_it_names_that_module(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("x = 1\ny = (\n")
    found = problem(written(tmp_path, "import helpers\n"))
    assert found.file == tmp_path / "helpers.py"
    assert found.line == 2


def test_an_import_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "IMPORT_LIMIT", 0.5)
    started = time.monotonic()
    assert "takes more than 0.5 s to import" in problem(written(tmp_path, "while True: pass\n")).message
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("load", "field", "message"),
    [
        ({"classes": ["Visitr"]}, "classes", "unknown class Visitr, did you mean Visitor"),
        ({"tags": ["chek"]}, "tags", "unknown tag chek, did you mean check"),
        ({"tags": ["admin"], "classes": ["Visitor"]}, "tags", "unknown tag admin"),
        ({"excludeTags": ["admin"], "classes": ["Admin"]}, "exclude_tags", "Admin has no task left"),
        ({"shape": "Steps"}, "shape", "unknown shape Steps: the locustfile has none"),
        ({"options": {"greeting": "x"}}, "options", "unknown option greeting: the locustfile declares no options"),
        ({"python": "/nowhere/python"}, "python", "found '/nowhere/python', expected a Python interpreter"),
        ({"python": "/bin/true"}, "python", "/bin/true ended with exit code 0"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_unknown_name_is_a_problem(load: dict[str, object], field: str, message: str) -> None:
    found = problem("shop.py", **load)
    assert found.field == field
    assert message in found.message


def test_a_shape_needs_no_users_and_takes_none(tmp_path: Path) -> None:
    shapes = "class Up(LoadTestShape):\n    def tick(self): return (1, 1)\n"
    both = shapes + "class Also(LoadTestShape):\n    use_common_options = True\n    def tick(self): return (1, 1)\n"
    assert look("fast.py", shape="Steps")
    assert look(written(tmp_path, USER + shapes), shape=None).shapes == {"Up": False}
    assert "sets the users itself" in problem("fast.py", shape="Steps", users=3).message
    file = tmp_path / "two.py"
    file.write_text(USER + both)
    assert "expected shape: one of Up, Also" in problem(file, shape=None).message
    assert look(file, shape="Also", users=3)
    assert "number of users is missing" in problem("shop.py", shape=None).message


def test_the_interpreter_of_a_variable_is_used_without_a_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    bare.symlink_to(Path("/usr/bin/python3") if Path("/usr/bin/python3").exists() else sys.executable)
    monkeypatch.setenv(inspection.PYTHON_VARIABLE, str(tmp_path / "none"))
    assert f"(from {inspection.PYTHON_VARIABLE})" in problem("shop.py").message
    assert look("shop.py", python=sys.executable).locust


def test_an_interpreter_without_locust_is_a_problem(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    found = problem("shop.py", tmp_path, locustfile=str(FILES / "shop.py"), python="python")
    assert found.field == "python"
    assert "has no Locust" in found.message


def test_a_secret_in_an_error_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "canary-7f3a")
    found = problem(written(tmp_path, "import os\nraise ValueError('wrong: ' + os.environ['SHOP_TOKEN'])\n"))
    assert "canary" not in str(found)
    assert "${env:SHOP_TOKEN}" in found.message


def test_an_old_locust_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "locust"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '1.4.3'\n")
    (package / "argument_parser.py").write_text("class P:\n    _actions = []\ndef get_parser(files): return P()\n")
    (package / "main.py").write_text(
        "def load_locustfile(path): return '', {'A': type('A', (), {'tasks': []})}, None\n"
    )
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    found = problem(FILES / "shop.py", python=str(bare))
    assert "found Locust 1.4.3" in found.message
    assert "expected 2.20 or later" in found.message
    assert os.access(bare, os.X_OK)


@pytest.mark.parametrize("ending", ["sys.exit(1)", "time.sleep(60)"])
def test_processes_of_a_locustfile_do_not_outlive_it(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(
        tmp_path,
        "import os, sys, time\nchild = os.fork()\nif not child:\n    time.sleep(60)\n    os._exit(0)\n"
        f"open('child', 'w').write(str(child))\n{ending}\n",
    )
    if "sleep" in ending:
        monkeypatch.setattr(inspection, "IMPORT_LIMIT", 10.0)
    with pytest.raises(InputError):
        look("locustfile.py", tmp_path)
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(int((tmp_path / "child").read_text()))
        try:
            # Readable when the process has ended.
            assert select.select([descriptor], [], [], 10)[0]
        finally:
            os.close(descriptor)
