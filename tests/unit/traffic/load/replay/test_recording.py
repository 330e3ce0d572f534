"""Access logs and HAR files as servers and browsers write them, and what is left out of them."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.common.errors import InputError, Problem
from harness.traffic.load.replay import recording as module
from harness.traffic.load.replay.checked import replayed
from harness.traffic.load.replay.declaration import Replay
from harness.traffic.load.replay.recording import Recording, read_recording

COMMON = '10.0.0.7 - ann [10/Oct/2025:13:55:{:02} +0200] "{}" {} 2326'
COMBINED = COMMON + ' "https://shop.test/" "Mozilla/5.0 \\"x\\""'


def read(folder: Path, text: str, **replay: object) -> Recording:
    file = folder / "access.log"
    file.write_text(text)
    read_recording.cache_clear()
    return read_recording(Replay.model_validate({"file": str(file)} | replay))


def problem(folder: Path, text: str, **replay: object) -> Problem:
    with pytest.raises(InputError) as raised:
        read(folder, text, **replay)
    (found,) = raised.value.problems
    return found


def lines(*requests: tuple[int, str], form: str = COMMON, status: int = 200) -> str:
    return "".join(form.format(second, request, status) + "\n" for second, request in requests)


@pytest.mark.parametrize("form", [COMMON, COMBINED, "shop.test:443 " + COMBINED, COMMON.replace(" ann ", " ann lee ")])
def test_common_and_combined_formats(tmp_path: Path, form: str) -> None:
    found = read(tmp_path, lines((1, "GET /a?q=1 HTTP/1.1"), (3, "HEAD / HTTP/2.0"), form=form))
    assert [(one.at, one.method, one.path, one.name, one.status) for one in found.requests] == [
        (0, "GET", "/a?q=1", "GET /a", 200),
        (2, "HEAD", "/", "HEAD /", 200),
    ]
    assert found.period == 3
    assert found.left_out == {}


@pytest.mark.parametrize(
    "line",
    [
        {"time": "2025-10-10T11:55:01.5Z", "method": "GET", "path": "/a", "status": 404},
        {"time_iso8601": "2025-10-10T13:55:01.5+02:00", "request": "GET /a HTTP/1.1", "status": "404"},
        {"time_local": "10/Oct/2025:13:55:01 +0200", "request_method": "GET", "request_uri": "/a", "status": "404"},
        {"ts": 1760097301.5, "request": {"method": "GET", "uri": "/a", "host": "shop.test"}, "status": 404},
        {"StartUTC": "2025-10-10T11:55:01.5Z", "RequestMethod": "GET", "RequestPath": "/a", "DownstreamStatus": 404},
        {"start_time": "2025-10-10T11:55:01.500Z", "method": "GET", "path": "/a", "response_code": 404},
        {"timestamp": 1760097301500, "http": {"method": "GET", "path": "/a", "status_code": 404}},
        {
            "@timestamp": "2025-10-10T11:55:01.123456789Z",
            "verb": "get",
            "url": "https://shop.test/a#top",
            "response": 404,
        },
    ],
    ids=["plain", "nginx request", "nginx fields", "caddy", "traefik", "envoy", "milliseconds", "logstash"],
)
def test_json_lines_of_common_servers(tmp_path: Path, line: dict[str, object]) -> None:
    (one,) = read(tmp_path, json.dumps(line) + "\n").requests
    assert (one.method, one.path, one.status, one.at) == ("GET", "/a", 404, 0)


def test_requests_of_one_second_are_spread_over_it(tmp_path: Path) -> None:
    found = read(tmp_path, lines(*[(1, "GET / HTTP/1.1")] * 4, (2, "GET /x HTTP/1.1")))
    assert [one.at for one in found.requests] == [0, 0.25, 0.5, 0.75, 1]
    assert found.period == 2
    assert found.peak == 4


def test_finer_times_are_kept_and_sorted(tmp_path: Path) -> None:
    """Servers log a request when it ends, so the file is not in the order of the starts."""
    text = "".join(json.dumps({"ts": 1760097300 + at, "method": "GET", "path": "/"}) + "\n" for at in (0.5, 0.1, 2.1))
    found = read(tmp_path, text)
    assert [one.at for one in found.requests] == pytest.approx([0, 0.4, 2.0])
    assert found.period == pytest.approx(3.0)


def test_what_changes_something_is_left_out_unless_named(tmp_path: Path) -> None:
    text = lines((1, "GET / HTTP/1.1"), (2, "POST /order HTTP/1.1"), (3, "DELETE /order/1 HTTP/1.1"))
    found = read(tmp_path, text)
    assert len(found.requests) == 1
    assert found.left_out == {"with the method POST": 1, "with the method DELETE": 1}
    assert "left out: 1 with the method POST" in str(found)
    assert [one.method for one in read(tmp_path, text, methods=["POST"]).requests] == ["POST"]


@pytest.mark.parametrize(
    ("request_line", "reason"),
    [
        ("-", "without a valid request"),
        ("\\x16\\x03\\x01", "without a valid request"),
        ("CONNECT evil.test:443 HTTP/1.1", "with the method CONNECT"),
        ("OPTIONS * HTTP/1.1", "with the method OPTIONS"),
        ("GET ftp://x/ HTTP/1.1", "without a valid path"),
        ("GET /ü HTTP/1.1", "without a valid path"),
    ],
)
def test_what_is_no_request_is_left_out(tmp_path: Path, request_line: str, reason: str) -> None:
    found = read(tmp_path, lines((1, "GET / HTTP/1.1"), (2, request_line)))
    assert len(found.requests) == 1
    assert found.left_out == {reason: 1}


def test_the_host_is_never_that_of_the_log(tmp_path: Path) -> None:
    (one,) = read(tmp_path, lines((1, "GET http://evil.test/a?b HTTP/1.1"))).requests
    assert one.path == "/a?b"


def test_a_path_cannot_smuggle_in_a_request(tmp_path: Path) -> None:
    bad = {"ts": 1, "method": "GET", "path": "/ HTTP/1.1\r\nX: y\r\n\r\nGET /admin"}
    good = {"ts": 1, "method": "GET", "path": "/"}
    found = read(tmp_path, json.dumps(bad) + "\n" + json.dumps(good) + "\n")
    assert [one.path for one in found.requests] == ["/"]


def test_a_few_unknown_lines_are_counted_and_many_are_refused(tmp_path: Path) -> None:
    good = lines(*[(second, "GET / HTTP/1.1") for second in range(40)])
    assert read(tmp_path, good + "what\n\n").left_out == {"unknown lines": 1}
    found = problem(tmp_path, good + "what\n" * 3)
    assert found.line == 41
    assert "3 of 43 lines are unknown, expected at most 5%; the first one: found 'what'" in found.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no request to replay: the file is empty"),
        ("{}\n", "found no time"),
        ('{"time": "yesterday", "method": "GET", "path": "/"}\n', "found the time 'yesterday'"),
        ('{"time": true, "method": "GET", "path": "/"}\n', "found the time True"),
        ('{"ts": 1, "path": "/"}\n', "found no method and path"),
        ('{"ts": NaN, "method": "GET", "path": "/"}\n', "found the time 'nan'"),
        ('{"ts": -1e99, "method": "GET", "path": "/"}\n', "found the time '-1e+99'"),
        ("[" * 100_000 + "\n", "characters, expected at most"),
        ('{"a":' * 10_000 + "\n", "is not JSON"),
        ('{"log": {"entries": 7}}', "found no list log.entries"),
        ('{"log": {"entries": [{}]}}', r"log.entries[0] has no request"),
        ('{"log": {', "is not a HAR file"),
        (lines((1, "POST / HTTP/1.1")), "1 with the method POST"),
        (COMMON.format(1, "GET / HTTP/1.1", 200).replace("Oct", "Foo"), "found the time '10/Foo/2025"),
    ],
)
def test_a_file_without_requests_has_one_clear_problem(tmp_path: Path, text: str, message: str) -> None:
    found = problem(tmp_path, text)
    assert message in found.message
    assert found.file == tmp_path / "access.log"


def test_files_and_requests_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = lines(*[(1, "GET / HTTP/1.1")] * 4)
    monkeypatch.setattr(module, "MAX_REQUESTS", 3)
    assert "has 4 requests, expected at most 3" in problem(tmp_path, text).message
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    assert "expected at most 0 MiB" in problem(tmp_path, text).message
    with pytest.raises(InputError, match="cannot be read"):
        read_recording(Replay(file=str(tmp_path / "missing")))
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InputError, match="is not a file"):
            read_recording(Replay(file=str(tmp_path / name)))


def test_volume_thins_evenly(tmp_path: Path) -> None:
    text = lines(*[(second, f"GET /{second} HTTP/1.1") for second in range(40)])
    found = read(tmp_path, text, volume="25%")
    assert [one.path for one in found.requests] == [f"/{second}" for second in range(3, 40, 4)]
    assert "no request left with this volume" in problem(tmp_path, lines((1, "GET / HTTP/1.1")), volume="25%").message


def test_names_group_what_only_identifies(tmp_path: Path) -> None:
    paths = ("/articles/17", "/u/3f2504e0-4f89-11d3-9a0c-0305e82c3301/x", "/reset/aGVsbG8gd29ybGQ5aGVsbG8", "/a/b")
    found = read(tmp_path, lines(*[(1, f"GET {path} HTTP/1.1") for path in paths]))
    names = ["GET /articles/[id]", "GET /u/[id]/x", "GET /reset/[id]", "GET /a/b"]
    assert [one.name for one in found.requests] == names
    many = [(1, f"GET /{chr(97 + index % 26)}{chr(97 + index // 26)} HTTP/1.1") for index in range(600)]
    assert len({one.name for one in read(tmp_path, lines(*many)).requests}) == 201


def har(*entries: dict[str, object]) -> str:
    made = [
        {"startedDateTime": f"2025-10-10T11:55:0{second}.250Z", "response": {"status": 200}} | entry
        for second, entry in enumerate(entries)
    ]
    return json.dumps({"log": {"version": "1.2", "entries": made}}, indent=1)


def request(url: str, method: str = "GET", **more: object) -> dict[str, object]:
    return {"request": {"method": method, "url": url, "headers": [], **more}}


def test_a_har_file_keeps_bodies_and_leaves_out_credentials(tmp_path: Path) -> None:
    headers = [
        {"name": "Accept", "value": "application/json"},
        {"name": "Cookie", "value": "sid=canary"},
        {"name": "Authorization", "value": "Bearer canary"},
        {"name": "X-Api-Key", "value": "canary"},
        {"name": "Accept-Language", "value": "de\r\nX: y"},
        {"name": ":authority", "value": "shop.test"},
    ]
    text = har(
        request("https://shop.test/a?b", headers=headers),
        request("https://cdn.test/x.js"),
        request("wss://shop.test/socket"),
        request("https://shop.test/order", "POST", postData={"mimeType": "text/plain", "text": "one"}),
    )
    found = read(tmp_path, text, methods=["GET", "POST"])
    first, second = found.requests
    assert (first.path, first.headers, first.at) == ("/a?b", {"accept": "application/json"}, 0)
    assert (second.method, second.body, second.at) == ("POST", b"one", 3)
    assert found.left_out == {"to other hosts": 1, "that are not HTTP": 1}
    assert "canary" not in repr(found)
    assert [one.path for one in read(tmp_path, text, host="cdn.test").requests] == ["/x.js"]


@pytest.mark.parametrize("seed", range(5))
def test_a_torn_file_is_a_problem_or_a_recording(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    whole = (
        har(request("https://shop.test/a"), request("https://shop.test/b"))
        if seed % 2
        else lines((1, "GET / HTTP/1.1"))
    )
    for _ in range(50):
        text = list(whole)
        for _ in range(rng.randint(1, 20)):
            text[rng.randrange(len(text))] = rng.choice('{}[]",:\n\x00é0 ')
        try:
            read(tmp_path, "".join(text))
        except InputError as error:
            assert error.problems  # noqa: PT017 - nothing else may be raised


@pytest.mark.parametrize(
    "fields",
    [7, {"file": ""}, {"file": "x", "speed": 0}, {"file": "x", "volume": "0%"}, {"file": "x", "methods": ["get"]}],
)
def test_wrong_fields_are_refused(fields: object) -> None:
    with pytest.raises(ValidationError):
        Replay.model_validate(fields)


def test_options_of_a_replay_are_those_of_connections(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text(lines((1, "GET / HTTP/1.1")))
    replay = Replay(file=str(tmp_path / "access.log"))
    assert replayed(replay, {"readTimeout": "3s", "connection": "kept"}).read_timeout == 3
    for options, message in (({"path": "/"}, "unknown option path"), ({"readTimeout": "soon"}, "readTimeout: ")):
        with pytest.raises(InputError, match=message):
            replayed(replay, options)
