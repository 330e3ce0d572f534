"""What is pushed to a Pushgateway, and under which grouping key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.common.errors import HarnessError
from harness.telemetry.exposition import exposed, parsed
from harness.telemetry.metrics import samples
from harness.telemetry.pushgateway import Pushgateway
from tests.unit.telemetry.http_server import Server, serving
from tests.unit.telemetry.runs import experiment, run, twin


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        made.answer = lambda _request: b""
        yield made


def test_each_experiment_has_its_group(server: Server) -> None:
    Pushgateway(f"{server.url}/gateway/").push(samples(run(experiment(), twin())))
    assert server.paths() == [
        "GET /gateway/metrics",
        "PUT /gateway/metrics/job/resilience/context/kind-test",
        "PUT /gateway/metrics/job/resilience/context/kind-test/experiment/one",
        "PUT /gateway/metrics/job/resilience/context/kind-test/experiment/one/twin/single",
    ]


def test_counters_and_last_success_continue(server: Server) -> None:
    before = exposed(samples(run(experiment(), twin())))
    server.answer = lambda request: before.encode() if request.method == "GET" else b""
    Pushgateway(server.url).push(samples(run(experiment(stage="observed", passed=False), ended=99)))
    pushed = [sample for each in server.requests[1:] for sample in parsed(each.body.decode())[0]]
    values = {sample.key: sample.value for sample in pushed}
    assert values["resilience_experiment_runs_total", "kind-test", "one", "", "HELD"] == 1
    assert values["resilience_experiment_runs_total", "kind-test", "one", "", "INCONCLUSIVE"] == 1
    assert ("resilience_experiment_last_success_timestamp_seconds", "kind-test", "one", "") in values
    assert not [key for key in values if "single" in key]


def test_user_in_the_url_is_sent_and_not_shown(server: Server) -> None:
    server.codes = [200, 403]
    with pytest.raises(HarnessError, match="HTTP 403") as caught:
        Pushgateway(server.url.replace("//", "//me:secret@")).push(samples(run()))
    assert {each.headers["authorization"] for each in server.requests} == {"Basic bWU6c2VjcmV0"}
    assert "secret" not in str(caught.value)


def test_other_answer_than_metrics_is_an_error(server: Server) -> None:
    server.answer = lambda _request: b"<html>not a gateway</html>"
    with pytest.raises(HarnessError, match="not metrics"):
        Pushgateway(server.url).push(samples(run()))
    assert len(server.requests) == 1


def test_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(HarnessError, match="cannot be reached"):
        Pushgateway("http://127.0.0.1:1").push(samples(run()))
