"""Annotations as Grafana's HTTP API documents them: POST /api/annotations with Unix milliseconds and tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.common.clock import FakeClock
from harness.common.errors import HarnessError
from harness.engine.telemetry_options import Telemetry
from harness.telemetry.grafana import ATTEMPTS, Grafana, annotation_bodies
from tests.unit.telemetry.http_server import Server, serving
from tests.unit.telemetry.runs import BEGAN, experiment, run, twin


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def grafana(url: str, **changes: object) -> Grafana:
    return Grafana.of(Telemetry(grafana=url, **changes), FakeClock())


def test_phases_are_regions_and_faults_are_marks() -> None:
    found = list(annotation_bodies(run()))
    assert found[1] == {
        "time": (BEGAN + 40) * 1000,
        "timeEnd": (BEGAN + 50) * 1000,
        "tags": ["resilience", "one", "context:kind-test", "run:20251129-080000-abcd", "phase:fault"],
        "text": "one: fault (HELD)",
    }
    assert found[3] == {
        "time": (BEGAN + 40) * 1000 + 250,
        "tags": ["resilience", "one", "context:kind-test", "run:20251129-080000-abcd", "fault:podKill"],
        "text": "one: podKill on pod/shop-1",
    }
    assert len(found) == 4


def test_twin_has_a_tag() -> None:
    assert all("twin:single" in each["tags"] for each in annotation_bodies(run(twin())))


def test_each_is_posted_with_the_token(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("glsa_secret\n")
    grafana(f"{server.url}/grafana/", grafana_token_file=token).annotate(run())
    assert server.paths() == ["POST /grafana/api/annotations"] * 4
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer glsa_secret"}
    assert [json.loads(each.body) for each in server.requests] == list(annotation_bodies(run()))


def test_user_in_the_url_is_sent_with_http_basic(server: Server) -> None:
    grafana(server.url.replace("//", "//admin:p%40ss@")).annotate(run(experiment(phases=[])))
    assert server.requests[0].headers["authorization"] == "Basic YWRtaW46cEBzcw=="


def test_annotation_is_posted_again_while_busy(server: Server) -> None:
    server.codes = [503, 429]
    grafana(server.url).annotate(run(experiment(phases=[])))
    assert len(server.requests) == 3


@pytest.mark.parametrize(("code", "requests"), [(401, 1), (404, 1), (302, 1), (503, ATTEMPTS)])
def test_refusal_is_an_error_without_the_token(server: Server, code: int, requests: int) -> None:
    server.codes = [code] * ATTEMPTS
    server.answer = lambda request: f'{{"message": "no {request.headers["authorization"]}"}}'.encode()
    with pytest.raises(HarnessError, match=f"HTTP {code}") as caught:
        grafana(server.url, grafana_token="glsa_secret").annotate(run())
    assert "glsa_secret" not in str(caught.value)
    assert len(server.requests) == requests


def test_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(HarnessError, match="cannot be reached"):
        grafana("http://127.0.0.1:1").annotate(run())
