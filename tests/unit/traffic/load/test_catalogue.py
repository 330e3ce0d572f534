"""The catalogue: whose file a name means, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.traffic.load.catalogue import FOLDER, Catalogue

STEADY = "apiVersion: resilience/v1\nkind: LoadProfile\nmetadata: {name: steady}\ndescription: mine\n" + (
    "phases: {baseline: [{at: 0s, share: 50%}]}\n"
)
BEHAVIOUR = """
from harness.traffic.load.behaviour import Behaviour
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
    return Catalogue.for_roots([folder.parent])


def problem(error: pytest.ExceptionInfo[InputError]) -> str:
    return "\n".join(str(found) for found in error.value.problems)


@pytest.mark.parametrize("name", ["steady", "ramp", "spike", "soak", "sawtooth", "diurnal", "step", "burst", "dip"])
def test_every_shipped_profile_is_valid_and_reaches_full_rate(name: str) -> None:
    assert Catalogue().profile(name).peak == 1.0


def test_user_profile_wins_unless_builtin_is_given(folder: Path, catalogue: Catalogue) -> None:
    (folder / "steady.yaml").write_text(STEADY)
    assert catalogue.profile("steady").description == "mine"
    assert catalogue.profile("builtin/steady").description != "mine"


@pytest.mark.parametrize("name", ["stready", "../steady", "", "steady.yaml"])
def test_unknown_profile_is_reported_with_the_available_ones(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(InputError) as caught:
        catalogue.profile(name)
    known = "burst, dip, diurnal, ramp, sawtooth, soak, spike, steady, step"
    assert problem(caught) == f"found the load profile {name!r}, expected one of: {known}"


def test_unknown_behaviour_is_reported_with_the_available_ones(folder: Path, catalogue: Catalogue) -> None:
    (folder / "mine.py").write_text(BEHAVIOUR)
    with pytest.raises(InputError) as caught:
        catalogue.behaviour("mqtt", {})
    known = "etcd_put, etcd_registers, grpc, http, mine, podinfo_store, redis_push, session, tcp, websocket"
    assert problem(caught) == f"found the load behaviour 'mqtt', expected one of: {known}"


def test_small_behaviour_has_specific_and_common_options(folder: Path, catalogue: Catalogue) -> None:
    (folder / "mine.py").write_text(BEHAVIOUR)
    made = catalogue.behaviour("mine", {"articles": 7, "connection": "kept", "readTimeout": "500ms"})
    assert made.model_dump() == {"articles": 7, "connection": "kept", "connect_timeout": 2.0, "read_timeout": 0.5}


def test_all_wrong_options_are_listed_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Catalogue().behaviour("http", {"metod": "GET", "path": "no slash", "connectTimeout": "0s"})
    told = {found.field: found.message for found in caught.value.problems}
    assert set(told) == {"options.metod", "options.path", "options.connectTimeout"}
    assert "unknown option of the load behaviour http, expected one of: connection" in told["options.metod"]
    assert "found 'no slash'" in told["options.path"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import gevent\n" + BEHAVIOUR, "mine.py:1: imports gevent at module level"),
        ("\nfrom locust.contrib import fasthttp\n" + BEHAVIOUR, "mine.py:2: imports locust.contrib at module level"),
        ("x = = 1", "mine.py:1: cannot be read as Python"),
        ("import not_there_at_all", "cannot be imported: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("x = 1", "found 0 subclasses of Behaviour, expected one"),
        (BEHAVIOUR.replace("def arrive", "def arive"), "Mine has no method arrive(self, client, number)"),
    ],
)
def test_unusable_behaviour_file_is_refused_with_the_reason(
    folder: Path, catalogue: Catalogue, source: str, expected: str
) -> None:
    (folder / "mine.py").write_text(source)
    with pytest.raises(InputError) as caught:
        catalogue.behaviour("mine", {})
    assert expected in problem(caught)


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_too_long_for_a_file_is_unknown(folder: Path, length: int) -> None:
    catalogue = Catalogue.for_roots([folder.parent])
    with pytest.raises(InputError, match="expected one of: burst"):
        catalogue.profile("a" * length)
    with pytest.raises(InputError, match="found the load behaviour"):
        catalogue.behaviour_file("a" * length)
