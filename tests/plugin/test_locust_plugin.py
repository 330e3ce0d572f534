"""Locust's own pytest plug-in stays out, whichever of the two is loaded first, unless somebody names it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.plugin.conftest import CONFTEST, ROOT, Project

OWN_OPTION = """
def pytest_addoption(parser):
    parser.addoption("--host", "-H", default="my-own")
"""
CHECK = """
import sys

def test_out(pytestconfig):
    assert pytestconfig.getoption("--host") == "my-own"
    assert pytestconfig.pluginmanager.get_plugin("locust") is None
    assert "gevent" not in sys.modules
"""
# Stands for entry points of which Locust's is the first.
LOCUST_FIRST = """
def pytest_addoption(pluginmanager):
    import pytest_locust.plugin
    pluginmanager.register(pytest_locust.plugin, "locust")
"""
ASKED_FOR = """
def test_in(pytestconfig):
    assert pytestconfig.getoption("--host") == "http://127.0.0.1:9"
    assert pytestconfig.pluginmanager.get_plugin("locust") is not None
"""
QUICK = ("-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:cacheprovider")


def _run(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str, alone: bool = False) -> str:
    if alone:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    command = [sys.executable, "-m", "pytest", *QUICK, *arguments]
    ended = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    text = ended.stdout + ended.stderr
    assert ended.returncode == 0, text
    return text


@pytest.mark.parametrize(
    ("arguments", "alone"),
    [
        ([], False),
        (["-p", "locust_first"], False),
        (["-p", "locust_first", "-p", "harness.pytest_plugin.plugin"], True),
        (["-p", "harness.pytest_plugin.plugin", "-p", "locust_first"], True),
        (["-p", "harness.pytest_plugin.plugin"], True),
    ],
)
def test_project_may_have_an_option_named_as_locust_s(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], alone: bool
) -> None:
    project.pytester.makepyfile(locust_first=LOCUST_FIRST, test_check=CHECK)
    project.pytester.makeini("[pytest]\npythonpath = .\n")
    project.experiment("held")
    project.pytester.makeconftest(CONFTEST + OWN_OPTION)
    monkeypatch.setenv("PYTHONPATH", f"{project.root}:{ROOT}")
    text = _run(project, monkeypatch, *arguments, "--cluster", "test_check.py", "experiments", alone=alone)
    assert "2 passed" in text


def test_locust_plugin_can_be_enabled(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.pytester.makepyfile(test_in=ASKED_FOR)
    text = _run(project, monkeypatch, "-p", "locust", "--host=http://127.0.0.1:9", "test_in.py")
    assert "1 passed" in text
