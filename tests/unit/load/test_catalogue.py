"""The catalogue: whose file a name means, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.load.catalogue import FOLDER, Catalogue

STEADY = "apiVersion: resilience/v1\nkind: LoadProfile\nmetadata: {name: steady}\ndescription: mine\n" + (
    "phases: {baseline: [{at: 0s, share: 50%}]}\n"
)
BEHAVIOUR = """
from harness.load.behaviour import Behaviour
class Mine(Behaviour):
    articles: int = 3
    def arrive(self, client, number):
        client.request("GET", f"/{number % self.articles}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir()
    return tmp_path / FOLDER


@pytest.fixture
def catalogue(folder: Path) -> Catalogue:
    return Catalogue.for_root(folder.parent)


def problem(error: pytest.ExceptionInfo[InputError]) -> str:
    return "\n".join(str(found) for found in error.value.problems)


@pytest.mark.parametrize("name", ["steady", "ramp", "spike", "soak"])
def test_every_shipped_profile_is_valid_and_reaches_the_whole_rate(name: str) -> None:
    assert Catalogue().profile(name).peak == 1.0


def test_the_users_profile_stands_before_the_shipped_one_unless_builtin_is_said(
    folder: Path, catalogue: Catalogue
) -> None:
    (folder / "steady.yaml").write_text(STEADY)
    assert catalogue.profile("steady").description == "mine"
    assert catalogue.profile("builtin/steady").description != "mine"


@pytest.mark.parametrize("name", ["stready", "../steady", "", "steady.yaml"])
def test_an_unknown_profile_is_told_with_the_known_ones(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(InputError) as caught:
        catalogue.profile(name)
    assert problem(caught) == f"found the load profile {name!r}, expected one of: ramp, soak, spike, steady"


def test_an_unknown_behaviour_is_told_with_the_known_ones(folder: Path, catalogue: Catalogue) -> None:
    (folder / "mine.py").write_text(BEHAVIOUR)
    with pytest.raises(InputError) as caught:
        catalogue.behaviour("grpc", {})
    assert problem(caught) == "found the load behaviour 'grpc', expected one of: etcd_put, http, mine"


def test_a_behaviour_of_ten_lines_takes_its_own_options_and_those_that_all_have(
    folder: Path, catalogue: Catalogue
) -> None:
    (folder / "mine.py").write_text(BEHAVIOUR)
    made = catalogue.behaviour("mine", {"articles": 7, "connection": "kept", "readTimeout": "500ms"})
    assert made.model_dump() == {"articles": 7, "connection": "kept", "connect_timeout": 2.0, "read_timeout": 0.5}


def test_all_wrong_options_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Catalogue().behaviour("http", {"metod": "GET", "path": "no slash", "connectTimeout": "0s"})
    told = {found.field: found.message for found in caught.value.problems}
    assert set(told) == {"options.metod", "options.path", "options.connectTimeout"}
    assert "unknown option of the load behaviour http, expected one of: connection" in told["options.metod"]
    assert "found 'no slash'" in told["options.path"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import gevent\n" + BEHAVIOUR, "mine.py:1: imports gevent at its top"),
        ("\nfrom locust.contrib import fasthttp\n" + BEHAVIOUR, "mine.py:2: imports locust.contrib at its top"),
        ("x = = 1", "mine.py:1: cannot be read as Python"),
        ("import not_there_at_all", "cannot be imported: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("x = 1", "holds 0 subclasses of Behaviour, expected one"),
        (BEHAVIOUR.replace("def arrive", "def arive"), "Mine has no method arrive(self, client, number)"),
    ],
)
def test_a_behaviour_file_that_cannot_work_is_refused_with_the_reason(
    folder: Path, catalogue: Catalogue, source: str, expected: str
) -> None:
    (folder / "mine.py").write_text(source)
    with pytest.raises(InputError) as caught:
        catalogue.behaviour("mine", {})
    assert expected in problem(caught)
