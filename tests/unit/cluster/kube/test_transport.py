"""The transport over a real connection, to a scripted server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from harness.cluster.connection.connection import Connection
from harness.cluster.connection.credentials import UserCredentials
from harness.cluster.kube.client import FIELD_MANAGER
from harness.cluster.kube.transport import HttpTransport, Request
from harness.common.errors import ApiError, ClusterUnreachable
from tests.unit.cluster.http_server import Exchange, Script, serving

PATH = "/api/v1/pods"


@pytest.fixture
def script() -> Iterator[Script]:
    with serving() as script:
        yield script


def _transport(url: str) -> HttpTransport:
    return HttpTransport(Connection(url))


@pytest.fixture
def transport(script: Script) -> Iterator[HttpTransport]:
    transport = _transport(script.url)
    yield transport
    transport.close()


def _status(code: int, reason: str, message: str, **details: object) -> dict[str, object]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message} | details


def test_request_is_sent_as_given(transport: HttpTransport, script: Script) -> None:
    body = [{"op": "replace", "path": "/spec", "value": "ü"}]
    transport.send(Request("PATCH", PATH, {"a": "b c", "d": "e=f,g"}, body, "application/json-patch+json"))
    (seen,) = script.requests
    assert (seen.method, seen.path, seen.query, seen.body) == ("PATCH", PATH, "a=b+c&d=e%3Df%2Cg", body)
    assert seen.headers["Content-Type"] == "application/json-patch+json"
    assert seen.headers["Accept"] == "application/json"
    # By what stands before the slash the API server names the manager of the fields that we change.
    assert seen.headers["User-Agent"].startswith(f"{FIELD_MANAGER}/")


def test_response_body_is_returned_unchanged(transport: HttpTransport, script: Script) -> None:
    script.handler = lambda exchange: exchange.answer(201, b'{"kind": "Pod"}')
    assert transport.send(Request("POST", PATH, body={})) == b'{"kind": "Pod"}'


def test_a_token_is_sent_with_every_request(script: Script) -> None:
    HttpTransport(Connection(script.url, credentials=UserCredentials("Bearer secret"))).send(Request("GET", PATH))
    assert script.requests[0].headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("status", "reason", "retryable", "gone", "not_found"),
    [
        (400, "BadRequest", False, False, False),
        (403, "Forbidden", False, False, False),
        (404, "NotFound", False, False, True),
        (409, "Conflict", False, False, False),
        (410, "Expired", False, True, False),
        (422, "Invalid", False, False, False),
        (429, "TooManyRequests", True, False, False),
        (500, "InternalError", True, False, False),
        (503, "ServiceUnavailable", True, False, False),
        (504, "Timeout", True, False, False),
    ],
)
def test_errors_keep_status_reason_and_message(script: Script, status, reason, retryable, gone, not_found) -> None:  # noqa: PLR0917
    script.handler = lambda exchange: exchange.answer(status, _status(status, reason, "what the server says"))
    with pytest.raises(ApiError, match=rf"{status} {reason}: GET {PATH}: what the server says") as caught:
        _transport(script.url).send(Request("GET", PATH))
    error = caught.value
    assert (error.status, error.reason) == (status, reason)
    assert (error.retryable, error.gone, error.not_found) == (retryable, gone, not_found)


def test_causes_missing_from_the_message_are_added(transport: HttpTransport, script: Script) -> None:
    details = {"causes": [{"reason": "DisruptionBudget", "message": "The budget needs 2 healthy pods"}]}
    answer = _status(429, "TooManyRequests", "Cannot evict pod.", details=details)
    script.handler = lambda exchange: exchange.answer(429, answer)
    with pytest.raises(ApiError, match=r"Cannot evict pod\. The budget needs 2 healthy pods"):
        transport.send(Request("POST", PATH))


@pytest.mark.parametrize("body", [b"", b"upstream is away", b"\xff\xfe", b"[1]", b"null", b'"text"'])
def test_error_without_a_status_object_is_still_an_error(transport: HttpTransport, script: Script, body: bytes) -> None:
    script.handler = lambda exchange: exchange.answer(502, body)
    with pytest.raises(ApiError) as caught:
        transport.send(Request("GET", PATH))
    assert caught.value.status == 502


def test_redirects_are_not_followed(transport: HttpTransport, script: Script) -> None:
    """A request that was checked for one server must not reach another."""
    script.handler = lambda exchange: exchange.answer(302, b"")
    with pytest.raises(ApiError, match="302"):
        transport.send(Request("GET", PATH))
    assert len(script.requests) == 1


def test_closed_port_is_a_failed_connection(script: Script) -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(ApiError, match="ConnectionFailed") as caught:
        _transport(url).send(Request("GET", PATH))
    assert (caught.value.status, caught.value.retryable) == (0, True)


def test_connection_dropped_before_the_answer_has_failed(transport: HttpTransport, script: Script) -> None:
    script.handler = Exchange.drop
    with pytest.raises(ApiError, match="ConnectionFailed"):
        transport.send(Request("GET", PATH))
    assert len(script.requests) == 1, "the transport itself repeats nothing"


def test_an_answer_that_is_cut_short_is_a_failed_connection(transport: HttpTransport, script: Script) -> None:
    def cut(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", "1000")
        exchange.end_headers()
        exchange.wfile.write(b'{"half":')
        exchange.drop()

    script.handler = cut
    with pytest.raises(ApiError) as caught:
        transport.send(Request("GET", PATH))
    assert caught.value.status == 0


def test_server_that_answers_too_late_is_a_failed_connection(transport: HttpTransport, script: Script) -> None:
    script.handler = lambda exchange: script.release.wait(30) and exchange.drop()
    with pytest.raises(ApiError, match="timed out") as caught:
        transport.send(Request("GET", PATH, timeout=0.05))
    assert caught.value.status == 0


def test_lines_arrive_whole_for_any_chunking(transport: HttpTransport, script: Script) -> None:
    events = [json.dumps({"number": number, "text": "ü" * number}, ensure_ascii=False).encode() for number in range(9)]
    stream = b"\n".join(events) + b"\n\n"

    def watch(exchange: Exchange) -> None:
        exchange.begin_chunks()
        for start in range(0, len(stream), 7):
            exchange.chunk(stream[start : start + 7])
        exchange.chunk(b"")

    script.handler = watch
    assert list(transport.stream(Request("GET", PATH))) == events


def test_a_line_arrives_while_the_stream_goes_on(transport: HttpTransport, script: Script) -> None:
    def watch(exchange: Exchange) -> None:
        exchange.begin_chunks()
        exchange.chunk(b'{"first": 1}\n{"sec')
        script.release.wait(30)
        exchange.chunk(b"")

    script.handler = watch
    stream = transport.stream(Request("GET", PATH))
    assert next(stream) == b'{"first": 1}'
    script.release.set()
    # What was cut off by the end was never a line.
    assert list(stream) == []


def test_an_error_status_ends_a_stream_before_it_begins(transport: HttpTransport, script: Script) -> None:
    script.handler = lambda exchange: exchange.answer(410, _status(410, "Expired", "too old"))
    with pytest.raises(ApiError) as caught:
        list(transport.stream(Request("GET", PATH)))
    assert caught.value.gone


def test_a_stream_that_drops_is_a_lost_connection(transport: HttpTransport, script: Script) -> None:
    def watch(exchange: Exchange) -> None:
        exchange.begin_chunks()
        exchange.chunk(b"{}\n")
        exchange.drop()

    script.handler = watch
    stream = transport.stream(Request("GET", PATH))
    assert next(stream) == b"{}"
    with pytest.raises(ApiError, match="ConnectionLost") as caught:
        next(stream)
    assert caught.value.retryable


def test_silent_stream_is_a_lost_connection(transport: HttpTransport, script: Script) -> None:
    def watch(exchange: Exchange) -> None:
        exchange.begin_chunks()
        script.release.wait(30)

    script.handler = watch
    with pytest.raises(ApiError, match="timed out"):
        list(transport.stream(Request("GET", PATH, timeout=0.05)))


def test_transport_is_usable_after_an_abandoned_stream(transport: HttpTransport, script: Script) -> None:
    def watch(exchange: Exchange) -> None:
        exchange.begin_chunks()
        exchange.chunk(b"{}\n")
        script.release.wait(30)

    script.handler = watch
    stream = transport.stream(Request("GET", PATH))
    next(stream)
    stream.close()
    script.handler = lambda exchange: exchange.answer(200, b"{}")
    assert transport.send(Request("GET", PATH)) == b"{}"


def _endless(script: Script) -> None:
    """Make the server send one line and then hold the stream open."""

    def watch(exchange: Exchange) -> None:
        exchange.begin_chunks()
        exchange.chunk(b"{}\n")
        script.release.wait(60)

    script.handler = watch


def test_interrupt_ends_a_blocked_stream_from_another_thread(transport: HttpTransport, script: Script) -> None:
    _endless(script)
    first, ended = threading.Event(), threading.Event()

    def read() -> None:
        for _ in transport.stream(Request("GET", PATH, timeout=60)):
            first.set()
        ended.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert first.wait(30)
    assert not ended.is_set()
    transport.interrupt()
    # The server still holds its side, so only the interrupt can have ended it.
    assert ended.wait(30)
    assert not script.release.is_set()


def test_interrupt_is_permanent_and_ends_later_streams_too(transport: HttpTransport, script: Script) -> None:
    _endless(script)
    transport.interrupt()
    assert list(transport.stream(Request("GET", PATH, timeout=60))) == []


def test_interrupt_does_not_affect_ordinary_requests(transport: HttpTransport, script: Script) -> None:
    transport.interrupt()
    assert transport.send(Request("GET", PATH)) == b"{}"


def test_a_clone_is_not_interrupted(transport: HttpTransport, script: Script) -> None:
    _endless(script)
    clone = transport.clone()
    transport.interrupt()
    stream = clone.stream(Request("GET", PATH, timeout=60))
    assert next(stream) == b"{}"
    stream.close()


def test_interrupting_after_a_stream_has_ended_is_harmless(transport: HttpTransport, script: Script) -> None:
    def watch(exchange: Exchange) -> None:
        exchange.begin_chunks()
        exchange.chunk(b"{}\n")
        exchange.chunk(b"")

    script.handler = watch
    assert list(transport.stream(Request("GET", PATH))) == [b"{}"]
    transport.interrupt()


def _command(*frames: tuple[int, bytes], close: bool = True) -> Callable[[Exchange], None]:
    """A server that sends these frames to whoever runs a command."""

    def run(exchange: Exchange) -> None:
        exchange.upgrade()
        for channel, data in frames:
            exchange.frame(channel, data)
        if close:
            exchange.close_frame()

    return run


SUCCESS = (3, b'{"status": "Success"}')


def test_exec_sends_the_command_and_the_container(transport: HttpTransport, script: Script) -> None:
    script.handler = _command(SUCCESS)
    transport.exec("shop", "web-0", "main", ["sh", "-c", "a b&c"], 5)
    (seen,) = script.requests
    assert seen.path == "/api/v1/namespaces/shop/pods/web-0/exec"
    assert parse_qs(seen.query)["command"] == ["sh", "-c", "a b&c"]
    assert parse_qs(seen.query)["container"] == ["main"]
    assert seen.headers["Sec-WebSocket-Protocol"] == "v4.channel.k8s.io"


def test_exec_returns_what_was_printed(transport: HttpTransport, script: Script) -> None:
    text = "ünïcödé\n".encode() * 100
    # One character is cut in two by the border of two frames.
    script.handler = _command((1, text[:1]), (2, b"oh"), (1, text[1:700]), (1, text[700:]), SUCCESS)
    result = transport.exec("shop", "web-0", None, ["cat"], 5)
    assert (result.stdout, result.stderr, result.exit_code) == (text.decode(), "oh", 0)


def test_exec_returns_the_exit_code(transport: HttpTransport, script: Script) -> None:
    causes = [{"reason": "ExitCode", "message": "42"}]
    status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
    script.handler = _command((3, json.dumps(status).encode()))
    assert transport.exec("shop", "web-0", None, ["false"], 5).exit_code == 42


def test_a_command_that_never_ran_is_an_error_and_no_exit_code(transport: HttpTransport, script: Script) -> None:
    status = _status(500, "InternalError", "no such file or directory") | {"details": {"causes": [{"message": "runc"}]}}
    script.handler = _command((3, json.dumps(status).encode()))
    with pytest.raises(ApiError, match="ExecFailed: exec of nope in shop/web-0: no such file") as caught:
        transport.exec("shop", "web-0", None, ["nope"], 5)
    assert caught.value.status == 500


@pytest.mark.parametrize("frames", [(), ((1, b"half of it"),), ((3, b"{"),)])
def test_command_without_an_exit_status_is_no_success(transport: HttpTransport, script: Script, frames: Any) -> None:
    script.handler = _command(*frames)
    with pytest.raises(ApiError) as caught:
        transport.exec("shop", "web-0", None, ["cat"], 5)
    assert caught.value.retryable


def test_exec_survives_a_connection_that_drops(transport: HttpTransport, script: Script) -> None:
    script.handler = _command((1, b"half of it"), close=False)
    with pytest.raises(ApiError, match="ConnectionFailed") as caught:
        transport.exec("shop", "web-0", None, ["cat"], 5)
    assert caught.value.status == 0


def test_overlong_command_times_out(transport: HttpTransport, script: Script) -> None:
    def run(exchange: Exchange) -> None:
        exchange.upgrade()
        script.release.wait(60)

    script.handler = run
    with pytest.raises(ApiError, match=r"ExecTimedOut: exec of sleep in shop/web-0 ran over 0\.2 s"):
        transport.exec("shop", "web-0", None, ["sleep", "60"], 0.2)


def test_exec_in_a_missing_pod_keeps_the_server_message(transport: HttpTransport, script: Script) -> None:
    script.handler = lambda exchange: exchange.answer(404, _status(404, "NotFound", 'pods "x" not found'))
    with pytest.raises(ApiError, match='pods "x" not found') as caught:
        transport.exec("shop", "x", None, ["true"], 5)
    assert caught.value.not_found


def test_exec_without_a_server_is_a_failed_connection() -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(ApiError, match="exec of true in shop/x") as caught:
        _transport(url).exec("shop", "x", None, ["true"], 5)
    assert caught.value.status == 0


def test_exec_upgrade_times_out(transport: HttpTransport, script: Script) -> None:
    script.handler = lambda exchange: script.release.wait(60) and exchange.drop()
    with pytest.raises(ApiError, match="exec of true in shop/x"):
        transport.exec("shop", "x", None, ["true"], 0.05)


@pytest.mark.parametrize("content", ["", "nonsense", "apiVersion: v1\nkind: Config\n"])
def test_a_kubeconfig_that_cannot_be_read_is_one_clear_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(ClusterUnreachable, match=str(file)):
        HttpTransport.from_kubeconfig(file, None)


def test_a_missing_kubeconfig_or_context_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match="nowhere"):
        HttpTransport.from_kubeconfig(tmp_path / "nowhere", None)
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(_kubeconfig("https://127.0.0.1:1")))
    with pytest.raises(ClusterUnreachable, match="other"):
        HttpTransport.from_kubeconfig(file, "other")


def test_the_server_of_the_context_is_used(tmp_path: Path, script: Script) -> None:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(_kubeconfig(script.url)))
    transport = HttpTransport.from_kubeconfig(file, "ctx")
    assert transport.server == script.url
    transport.send(Request("GET", "/version"))
    # As kubectl: no token goes over a connection that anybody can read.
    assert "Authorization" not in script.requests[0].headers


def _kubeconfig(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "ctx",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "abc"}}],
    }


def test_another_user_is_acted_as_in_clones_too(transport: HttpTransport, script: Script) -> None:
    transport.send(Request("GET", PATH))
    transport.impersonate("system:serviceaccount:a:b")
    transport.send(Request("GET", PATH))
    clone = transport.clone()
    clone.send(Request("GET", PATH))
    clone.close()
    seen = [request.headers.get("Impersonate-User") for request in script.requests]
    assert seen == [None, "system:serviceaccount:a:b", "system:serviceaccount:a:b"]
