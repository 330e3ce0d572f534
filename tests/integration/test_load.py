"""The load process for real, on loopback, against a target whose faults are known. No cluster."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError, Inconclusive
from harness.common.waiting import wait_until
from harness.model.request_store import RequestStore
from harness.model.requests import Requests, RequestSample
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.driver import LEAD, RunningLoad
from harness.traffic.load.plan import LoadPlan
from harness.traffic.load.replay.declaration import Replay
from tests.integration.target_server import Target, serving

CLOCK = SystemClock()
# Only ends a test that hangs: the process needs about a second to start, and much longer on a busy machine.
PATIENCE = 60.0


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as target:
        yield target


def plan(target: Target, **changes: object) -> LoadPlan:
    made = LoadPlan(
        profile=Catalogue().profile("steady"),
        rate=50.0,
        behaviour="http",
        options={},
        host="127.0.0.1",
        port=target.port,
        run="r1",
        experiment="on-loopback",
        namespace="none",
        max_seconds=PATIENCE,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def behaviour(folder: Path, source: str) -> dict[str, object]:
    """The plan's changes that make it use a behaviour of a user."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text("from harness.traffic.load.behaviour import Behaviour\n" + source)
    return {"behaviour": "mine", "folders": [folder]}


def until(what: str, look: Callable[[], bool]) -> None:
    wait_until(what, lambda: (look() or None, "not yet"), PATIENCE, CLOCK, every=0.02)


def load_for(load: RunningLoad, count: int) -> list[RequestSample]:
    """Enter the baseline now, and wait for so many finished requests."""
    load.wait_ready(PATIENCE)
    origin = CLOCK.monotonic()
    load.phase("baseline", origin)
    until(f"{count} requests", lambda: len(load.requests(origin)) >= count or load.failure() is not None)
    assert load.failure() is None
    return load.requests(origin)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_requests_start_by_the_schedule_and_the_summary_adds_up(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody set Locust up for tests of their own."""
    monkeypatch.setenv("LOCUST_USERS", "7")
    monkeypatch.setenv("LOCUST_RUN_TIME", "1")
    with RunningLoad.start(plan(target), tmp_path / "load", CLOCK) as load:
        seen = load_for(load, 40)
        intended = sorted(request.intended for request in seen)
        assert intended[:40] == pytest.approx([(number + 1) / 50 for number in range(40)], abs=1e-5)
        assert all(request.intended <= request.started <= request.finished for request in seen)
        summary = load.stop()
        everything = load.requests(0.0)
    assert {(request.name, request.outcome, request.ok) for request in everything} == {("GET /", "ok", True)}
    assert summary.offered == summary.achieved + summary.dropped
    assert (len(everything), summary.failed) == (summary.achieved, 0)
    assert load.metrics_ports == []
    assert load.stop() is summary


def test_phases_switch_at_their_instant(target: Target, tmp_path: Path) -> None:
    """Spike: a fifth of the rate in the baseline, and the same in the fault until two seconds into it."""
    spike = plan(target, profile=Catalogue().profile("spike"), rate=100.0)
    with RunningLoad.start(spike, tmp_path / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        origin = CLOCK.monotonic()
        load.phase("baseline", origin)
        load.phase("fault", origin + 0.5)
        until("the jump", lambda: len(load.requests(origin)) >= 100)
        intended = sorted(request.intended for request in load.requests(origin))
    assert sum(at < 2.5 for at in intended) in {49, 50}
    after = [at for at in intended if at > 2.52]
    assert after[10] - after[0] == pytest.approx(0.1, abs=1e-4)


def test_each_failure_has_a_distinct_outcome_and_is_sent_once(target: Target, tmp_path: Path) -> None:
    ways = {
        "/": "ok",
        "/503": "503",
        "/close": "closed without an answer",
        "/reset": "reset",
        "/cut": "broken answer",
        "/broken": "broken answer",
        "/silent": "timeout",
        "/elsewhere": "ok",
    }
    mine = behaviour(
        tmp_path / "mine",
        f"WAYS = {list(ways)}\n"
        "class Mine(Behaviour):\n"
        "    def arrive(self, client, number):\n"
        "        client.request('GET', WAYS[number % len(WAYS)], key=str(number))\n",
    )
    # Long enough that a good answer is never late, on a busy machine too.
    limited = plan(target, options={"readTimeout": "5s"}, **mine)
    with RunningLoad.start(limited, tmp_path / "load", CLOCK) as load:
        load_for(load, 32)
        summary = load.stop()
        seen = load.requests(0.0)
    assert {(request.name.removeprefix("GET "), request.outcome) for request in seen} == set(ways.items())
    assert {request.ok for request in seen if request.outcome != "ok"} == {False}
    assert sorted(int(request.key) for request in seen) == list(range(1, len(seen) + 1))
    # One more for the probe before the load.
    assert len(target.paths) == len(seen) + 1
    assert summary.failed == sum(request.outcome != "ok" for request in seen)
    silent = [request for request in seen if request.outcome == "timeout"]
    assert all(request.finished - request.started >= 5.0 for request in silent)


def test_latency_counts_from_intended_start_while_target_hangs(target: Target, tmp_path: Path) -> None:
    """No coordinated omission: what was due during the stall is slow by just the rest of the stall."""
    with RunningLoad.start(plan(target), tmp_path / "load", CLOCK) as load:
        load_for(load, 10)
        target.gate.clear()
        closed = CLOCK.monotonic()
        CLOCK.sleep(1.0)
        opened = CLOCK.monotonic()
        target.gate.set()
        until("requests after the stall", lambda: load.requests(0.0)[-1].intended > opened)
        load.stop()
        seen = load.requests(0.0)
    # What was due just before may have been answered before the gate closed; what was due in it was not.
    stalled = [request for request in seen if closed < request.intended < opened]
    assert len(stalled) == pytest.approx(50 * (opened - closed), abs=1.01)
    assert all(request.latency >= opened - request.intended for request in stalled)


@pytest.mark.parametrize(("connection", "most"), [("new", None), ("kept", 15)])
def test_connections_are_new_for_every_request_or_kept(
    target: Target, tmp_path: Path, connection: str, most: int | None
) -> None:
    with RunningLoad.start(plan(target, options={"connection": connection}), tmp_path / "load", CLOCK) as load:
        load_for(load, 50)
        summary = load.stop()
    assert summary.failed == 0
    if most is None:
        assert target.connections == summary.achieved + 1
    else:
        assert target.connections <= most


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_divide_the_arrivals_of_one_schedule(target: Target, tmp_path: Path, workers: int) -> None:
    mine = behaviour(
        tmp_path / "mine",
        "class Mine(Behaviour):\n"
        "    def arrive(self, client, number):\n"
        "        client.request('GET', '/', key=str(number))\n",
    )
    with RunningLoad.start(plan(target, workers=workers, rate=100.0, **mine), tmp_path / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        origin = CLOCK.monotonic()
        load.phase("baseline", origin)
        until("100 requests", lambda: len(load.requests(origin)) >= 100 or load.failure() is not None)
        earlier = load.requests(origin)
        summary = load.stop()
        seen = load.requests(origin)
    assert (summary.error, summary.dropped, summary.failed) == ("", 0, 0)
    assert summary.offered == summary.achieved == len(seen)
    by_intended = sorted(seen, key=lambda request: request.intended)
    first = by_intended[0].intended
    assert LEAD < first < LEAD + 5.0
    expected = [first + number / 100 for number in range(len(seen))]
    assert [request.intended for request in by_intended] == pytest.approx(expected, abs=1e-5)
    # The number of an arrival is that of the whole schedule, so that keys are unique in the run.
    assert [request.key for request in by_intended] == [str(number + 1) for number in range(len(seen))]
    assert list(seen[: len(earlier)]) == list(earlier)
    merged = gzip.decompress((tmp_path / "load" / "load-records.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line)[6] for line in merged] == [str(number + 1) for number in range(len(seen))]
    assert len(load.pids) == workers


def test_lost_worker_makes_the_load_incomplete(target: Target, tmp_path: Path) -> None:
    with RunningLoad.start(plan(target, workers=3), tmp_path / "load", CLOCK) as load:
        load_for(load, 20)
        os.kill(load.pids[1], signal.SIGKILL)
        until("the loss", lambda: load.failure() is not None)
        assert "worker 2 of 3 ended with exit code -9" in str(load.failure())
        assert "worker 2 of 3 ended with exit code -9" in load.stop().error
    assert not any(map(alive, load.pids))


def test_exhausted_pool_reports_dropped_arrivals(target: Target, tmp_path: Path) -> None:
    stuck = plan(target, pool=2, options={"readTimeout": "10s"})
    with RunningLoad.start(stuck, tmp_path / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        target.gate.clear()
        load.phase("baseline", CLOCK.monotonic())
        CLOCK.sleep(1.0)
        target.gate.set()
        summary = load.stop()
    assert summary.dropped > 2
    assert summary.offered == summary.achieved + summary.dropped
    assert summary.saturated
    assert f"too many requests in flight: {summary.dropped}" in summary.error


def test_the_clients_metrics_can_be_scraped(target: Target, tmp_path: Path) -> None:
    with RunningLoad.start(plan(target, metrics_host="127.0.0.1"), tmp_path / "load", CLOCK) as load:
        load_for(load, 10)
        with urllib.request.urlopen(f"http://127.0.0.1:{load.metrics_ports[0]}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    labels = 'experiment="on-loopback",name="GET /",namespace="none",outcome="ok",run="r1"'
    (served,) = [line for line in text.splitlines() if line.startswith(f"resilience_requests_total{{{labels}}}")]
    assert float(served.split()[-1]) >= 10
    assert 'resilience_request_duration_seconds_bucket{experiment="on-loopback",good="true",le="0.2"' in text
    for name in (
        "resilience_requests_offered_total",
        "resilience_requests_dropped_total",
        "resilience_requests_in_flight",
    ):
        assert f"\n{name}{{" in text


def test_refusing_target_is_not_ready_and_the_reason_is_reported(target: Target, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = plan(target, port=unused.getsockname()[1])
        with RunningLoad.start(nobody, tmp_path / "load", CLOCK) as load:
            until("the first attempt", lambda: "refused" in (tmp_path / "load" / "load-records.jsonl").read_text())
            with pytest.raises(Inconclusive, match=r"a response from 127\.0\.0\.1:\d+: .* last seen: refused"):
                load.wait_ready(0.1)


def test_a_bug_in_a_behaviour_ends_the_load_with_its_name(target: Target, tmp_path: Path) -> None:
    mine = behaviour(
        tmp_path / "mine",
        "class Mine(Behaviour):\n"
        "    def arrive(self, client, number):\n"
        "        client.request('GET', '/')\n"
        "        [][number]\n",
    )
    with RunningLoad.start(plan(target, **mine), tmp_path / "load", CLOCK) as load:
        with pytest.raises(Inconclusive, match="IndexError"):
            load.wait_ready(PATIENCE)
        assert "IndexError" in load.stop().error


def test_a_bug_that_shows_later_ends_the_load_too(target: Target, tmp_path: Path) -> None:
    mine = behaviour(
        tmp_path / "mine",
        "class Mine(Behaviour):\n"
        "    def arrive(self, client, number):\n"
        "        client.request('GET', '/')\n"
        "        assert number < 5, 'five is too many'\n",
    )
    with RunningLoad.start(plan(target, **mine), tmp_path / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        load.phase("baseline", CLOCK.monotonic())
        until("the end", lambda: load.failure() is not None)
        assert "AssertionError: five is too many" in (load.failure() or "")
        assert "five is too many" in load.stop().error


def test_killed_generator_is_a_failure_and_keeps_its_samples(target: Target, tmp_path: Path) -> None:
    with RunningLoad.start(plan(target), tmp_path / "load", CLOCK) as load:
        load_for(load, 10)
        os.kill(load.pids[0], signal.SIGKILL)
        until("the end", lambda: load.failure() is not None)
        load.phase("fault", CLOCK.monotonic())
        summary = load.stop()
    assert "exit code -9" in summary.error
    assert summary.achieved >= 10


def test_a_process_that_hangs_is_killed_within_bounds(target: Target, tmp_path: Path) -> None:
    with RunningLoad.start(
        plan(target, options={"readTimeout": "10ms", "connectTimeout": "10ms"}), tmp_path / "load", CLOCK
    ) as load:
        load.wait_ready(PATIENCE)
        os.kill(load.pids[0], signal.SIGSTOP)
        summary = load.stop()
        assert not alive(load.pids[0])
    assert "exit code -9" in summary.error


def test_a_harness_that_is_killed_leaves_no_load_behind(target: Target, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from harness.common.clock import SystemClock\n"
        "from harness.traffic.load.driver import RunningLoad\n"
        "from tests.integration.test_load import plan\n"
        "from types import SimpleNamespace\n"
        "clock = SystemClock()\n"
        "made = plan(SimpleNamespace(port=int(sys.argv[1])))\n"
        "load = RunningLoad.start(made, Path(sys.argv[2]), clock)\n"
        "load.wait_ready(60)\n"
        "load.phase('baseline', clock.monotonic())\n"
        "print(load.pids[0], flush=True)\n"
        "time.sleep(60)\n"
    )
    root = str(Path(harness.__file__).parents[1])
    command = [sys.executable, str(script), str(target.port), str(tmp_path / "load")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}) as killed:
        assert killed.stdout is not None
        load_pid = int(killed.stdout.readline())
        until("some load", lambda: len(target.paths) > 5)
        killed.kill()
    until("the end of the load", lambda: not alive(load_pid))
    assert "the harness is gone" in (tmp_path / "load" / "load-records.jsonl").read_text()


def test_the_load_ends_by_itself_when_its_longest_time_is_over(target: Target, tmp_path: Path) -> None:
    with RunningLoad.start(plan(target, max_seconds=1.5), tmp_path / "load", CLOCK) as load:
        until("the end", lambda: load.failure() is not None)
        assert "max_seconds is over" in (load.failure() or "")


def test_missing_command_is_reported(target: Target, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"the load process cannot be started: .*no-such-command"):
        RunningLoad.start(plan(target, command=["no-such-command"]), tmp_path / "load", CLOCK)


def test_the_harness_itself_never_imports_locust_or_gevent() -> None:
    """They patch the process that imports them."""
    check = (
        "import sys, harness.traffic.load.driver, harness.traffic.load.scrape\n"
        "from harness.traffic.load.catalogue import Catalogue\n"
        "given = {'session': {'steps': [{'name': 'browse'}]}}\n"
        "for name in Catalogue().names('.py'): Catalogue().behaviour(name, given.get(name, {}))\n"
        "print(*sorted({'locust', 'gevent', 'geventhttpclient'} & set(sys.modules)))\n"
    )
    root = str(Path(harness.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    found = subprocess.run([sys.executable, "-c", check], check=True, env=environment, capture_output=True, text=True)
    assert found.stdout.split() == []


def test_a_secret_reaches_the_process_that_sends_it_and_no_file(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "canary-7f3a")
    mine = behaviour(
        tmp_path / "profiles",
        """
class Mine(Behaviour):
    token: str

    def arrive(self, client, number):
        length = len(self.token)
        client.request("GET", "/", name=f"a token of {length}")
""",
    )
    made = plan(target, **mine, options={"token": "${env:SHOP_TOKEN}"})
    with RunningLoad.start(made, tmp_path / "load", CLOCK) as running:
        running.wait_ready(PATIENCE)
        first = load_for(running, 1)[0]
    assert first.name == "a token of 11"
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"canary-7f3a" in file.read_bytes()]


def replayed(target: Target, folder: Path, text: str, **replay: object) -> LoadPlan:
    (folder / "access.log").write_text(text)
    return plan(target, replay=Replay.model_validate({"file": str(folder / "access.log")} | replay))


def test_a_replay_keeps_the_times_of_its_log(target: Target, tmp_path: Path) -> None:
    text = "".join(
        json.dumps({"ts": 1760097300 + at, "method": "GET", "path": f"/articles/{at * 1000:.0f}?page=2", "status": 200})
        + "\n"
        for at in (0.0, 0.1, 0.4, 0.5)
    )
    made = replayed(target, tmp_path, text, speed=2)
    with RunningLoad.start(made, tmp_path / "load", CLOCK) as load:
        seen = sorted(load_for(load, 12), key=lambda request: request.intended)
        summary = load.stop()
    # The period is the last time and a mean gap more: 0.5 s and a third of it, at twice the speed.
    period = (0.5 + 0.5 / 3) / 2
    intended = [again * period + at / 2 for again in range(3) for at in (0.0, 0.1, 0.4, 0.5)]
    assert [request.intended for request in seen[:12]] == pytest.approx(intended, abs=1e-3)
    assert {request.name for request in seen} == {"GET /articles/[id]"}
    assert target.paths[1:5] == [
        "/articles/0?page=2",
        "/articles/100?page=2",
        "/articles/400?page=2",
        "/articles/500?page=2",
    ]
    assert (summary.offered, summary.dropped, summary.error) == (summary.achieved, 0, "")


def test_a_replayed_failure_is_good_only_if_it_was_recorded(target: Target, tmp_path: Path) -> None:
    """The server that is recorded said 503 too, which is a failure still."""
    line = '10.0.0.7 - - [10/Oct/2025:13:55:01 +0200] "GET {} HTTP/1.1" {} 5\n'
    made = replayed(target, tmp_path, line.format("/503", 503) + line.format("/", 200) * 9)
    with RunningLoad.start(made, tmp_path / "load", CLOCK) as load:
        until("an attempt", lambda: '"503"' in (tmp_path / "load" / "load-records.jsonl").read_text())
        with pytest.raises(Inconclusive, match="last seen: 503"):
            load.wait_ready(0.1)
    text = line.format("/", 200) + line.format("/503", 503) + line.format("/", 200) * 8
    with RunningLoad.start(replace(replayed(target, tmp_path, text), workers=2), tmp_path / "more", CLOCK) as load:
        load_for(load, 20)
        summary = load.stop()
        seen = load.requests(0.0)
    assert {request.outcome for request in seen if request.name == "GET /[id]"} == {"503"}
    assert summary.failed == sum(request.name == "GET /[id]" for request in seen) > 0
    assert summary.error == ""


def test_requests_of_several_workers_are_all_read_and_recorded(target: Target, tmp_path: Path) -> None:
    """Those since the last look too, which the summary and the common record also have."""
    text = '10.0.0.7 - - [10/Oct/2025:13:55:01 +0200] "GET / HTTP/1.1" 200 5\n' * 10
    store = RequestStore()

    def read() -> int:
        load.read_into(store, 0)
        return len(Requests.of(store, 0.0))

    with RunningLoad.start(replace(replayed(target, tmp_path, text), workers=2), tmp_path / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        load.phase("baseline", CLOCK.monotonic())
        until("requests", lambda: read() >= 20)
        summary = load.stop()
        everything = read()
    assert everything == summary.achieved
    with gzip.open(tmp_path / "load" / "load-records.jsonl.gz", "rt") as stream:
        assert sum('"request"' in line for line in stream) == everything
