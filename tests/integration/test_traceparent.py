"""The load's requests have the traceparent of their phase, over HTTP/1.1, HTTP/2 and gRPC."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.phase_names import PHASES
from harness.model.trace_context import TraceIds
from harness.traffic.load.driver import RunningLoad
from harness.traffic.load.own.plan import environment
from harness.traffic.load.plan import LoadPlan
from harness.traffic.target.endpoint import Access
from tests.integration.secure_server import Server, secure_server
from tests.integration.target_server import Target
from tests.integration.test_behaviours import answered
from tests.integration.test_load import CLOCK, PATIENCE, until
from tests.integration.test_own_locustfile import plan as own_plan
from tests.integration.test_secure_load import plan

IDS = TraceIds.of("r1", file="one.yaml", name="one")
HEADERS = IDS.headers(PHASES, "sampled")
# The behaviour, its options, and whether the server speaks HTTP/2 alone.
WAYS: dict[str, tuple[str, Mapping[str, object], bool]] = {
    "http1": ("http", {"connection": "kept"}, False),
    "http1-body": ("http", {"connection": "new", "method": "POST", "body": "x"}, False),
    "http2": ("http", {"http2": True}, True),
    "grpc": ("grpc", {"connection": "kept"}, True),
}


def two_phases(folder: Path, server: Server, made: LoadPlan) -> list[str | None]:
    """Run the baseline and then the fault; return the header of each request, in the order of arrival."""
    with RunningLoad.start(made, folder / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        for name in ("baseline", "fault"):
            before = len(server.requests)
            load.phase(name, CLOCK.monotonic())
            until(name, lambda before=before: len(server.requests) >= before + 20)
        load.stop()
    return [request.headers.get("traceparent") for request in server.requests]


@pytest.mark.parametrize("way", WAYS)
def test_request_has_the_ids_of_its_phase(tmp_path: Path, way: str) -> None:
    behaviour, options, http2 = WAYS[way]
    with secure_server(tmp_path, protocols=["h2"] if http2 else ["http/1.1"], http2=http2) as server:
        if behaviour == "grpc":
            server.answer = answered("0")
        made = replace(plan(server, Access(), options, behaviour=behaviour), traceparents=HEADERS)
        seen = two_phases(tmp_path, server, made)
    # Before the baseline the load checks that the target answers. By the first of each, since a request on another
    # connection may overtake one of the phase before.
    assert list(dict.fromkeys(seen)) == [HEADERS[""], HEADERS["baseline"], HEADERS["fault"]]


def test_requests_have_no_header_by_default(tmp_path: Path) -> None:
    with secure_server(tmp_path, protocols=["http/1.1"]) as server:
        assert set(two_phases(tmp_path, server, plan(server, Access()))) == {None}


def test_header_of_the_behaviour_is_kept(tmp_path: Path) -> None:
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with secure_server(tmp_path, protocols=["http/1.1"]) as server:
        made = plan(server, Access(), {"headers": {"Traceparent": own}})
        assert set(two_phases(tmp_path, server, replace(made, traceparents=HEADERS))) == {own}


def test_locustfile_finds_it_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target()
    target.close()
    monkeypatch.delenv("TRACEPARENT", raising=False)
    made = own_plan(target, "fast.py", users=1)
    assert environment(replace(made, traceparent=HEADERS[""]))["TRACEPARENT"] == HEADERS[""]
    assert environment(made) == {name: text for name, text in os.environ.items() if name != "PYTHONHOME"}
