"""Locustfiles as people write them, run unchanged on loopback."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from harness.common.clock import SystemClock
from harness.common.errors import Inconclusive
from harness.common.waiting import wait_until
from harness.experiment.load import Load
from harness.model.requests import RequestSample
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.own.driver import RunningLocustfile
from harness.traffic.load.own.plan import OwnPlan
from harness.traffic.process import Child
from tests.integration.target_server import Target, serving

CLOCK = SystemClock()
PATIENCE = 60.0
FILES = Path(__file__).parent / "locustfiles"


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as target:
        yield target


def plan(target: Target, locustfile: str | Path, **load: object) -> OwnPlan:
    declared = Load.model_validate({"locustfile": str(FILES / locustfile), "target": "service/shop", **load})
    assert not declared.own_problems()
    return OwnPlan(
        load=declared,
        folder=FILES,
        profile=Catalogue().profile("steady"),
        host="127.0.0.1",
        port=target.port,
        max_seconds=PATIENCE,
        options=declared.options,
    )


def run(plan: OwnPlan, folder: Path, count: int) -> RunningLocustfile:
    """Enter the baseline, and wait for so many requests."""
    load = RunningLocustfile.launch(plan, folder, CLOCK)
    load.wait_ready(PATIENCE)
    origin = CLOCK.monotonic()
    load.phase("baseline", origin)
    until(f"{count} requests", load, lambda: len(after(load, origin)) >= count)
    return load


def until(what: str, load: RunningLocustfile, look: object) -> None:
    def seen() -> tuple[bool | None, str]:
        assert load.failure() is None, load.failure()
        return (look() or None, "not yet")  # type: ignore[operator]

    wait_until(what, seen, PATIENCE, CLOCK, every=0.02)


def after(load: RunningLocustfile, origin: float) -> list[RequestSample]:
    return [request for request in load.requests(origin) if request.intended >= 0]


def test_users_of_a_published_shape_run_unchanged(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login, the names, the failed check; and the token of the environment is in no file."""
    monkeypatch.setenv("SHOP_TOKEN", "canary-7f3a")
    monkeypatch.setenv("LOCUST_RUN_TIME", "1")
    monkeypatch.setenv("LOCUST_USERS", "1")
    load = run(plan(target, "shop.py", users=4, spawnRate=100), tmp_path / "load", 60)
    summary = load.stop()
    seen = load.requests(0.0)
    names = Counter(request.name for request in seen)
    assert names["GET log in"] == 3
    assert set(names) == {"GET log in", "GET /articles/[id]", "GET /checked", "GET /admin"}
    assert {(r.outcome, r.ok) for r in seen if r.name == "GET /checked"} == {
        ("check failed: hi is not an article, said ${env:SHOP_TOKEN}", False)
    }
    assert all(request.ok for request in seen if request.name != "GET /checked")
    assert all(request.intended == request.started <= request.finished for request in seen)
    assert (summary.model, summary.offered, summary.achieved, summary.error) == ("closed", len(seen), len(seen), "")
    assert max(count for _, count in summary.users) == 4
    assert "testing http://127.0.0.1" in (tmp_path / "load" / "load-output.log").read_text()
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"canary-7f3a" in file.read_bytes()]


def test_tags_and_classes_select_what_runs(target: Target, tmp_path: Path) -> None:
    chosen = plan(target, "shop.py", users=2, spawnRate=100, classes=["Visitor"], excludeTags=["check"])
    load = run(chosen, tmp_path / "load", 20)
    load.stop()
    assert {request.name for request in load.requests(0.0)} == {"GET log in", "GET /articles/[id]"}


def test_fast_users_and_sequences_are_recorded(target: Target, tmp_path: Path) -> None:
    load = run(plan(target, "fast.py", users=3, spawnRate=100), tmp_path / "load", 60)
    load.stop()
    names = Counter((request.name, request.outcome) for request in load.requests(0.0))
    assert names["GET /503", "503"] > 3
    assert abs(names["GET /one", "ok"] - names["GET /three", "ok"]) <= 1
    assert names["GET /read", "ok"] > 0


def test_a_shape_starts_with_the_baseline_and_keeps_its_end(target: Target, tmp_path: Path) -> None:
    load = RunningLocustfile.launch(plan(target, "fast.py", shape="Steps", classes=["Buyer"]), tmp_path / "load", CLOCK)
    load.wait_ready(PATIENCE)
    CLOCK.sleep(1.5)
    origin = CLOCK.monotonic()
    load.phase("baseline", origin)
    CLOCK.sleep(4.5)
    assert load.failure() is None
    summary = load.stop()
    counts = [(at - origin, count) for at, count in summary.users]
    assert max(count for at, count in counts if at < 0.9) == 2
    assert max(count for _, count in counts) == 5
    (note,) = summary.notes
    assert "its last value was kept" in note
    # Still five users after the end of the shape.
    assert [count for at, count in counts if at < 4][-1] == 5


def test_a_custom_client_and_its_exceptions_are_recorded(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "good-evening")
    made = plan(target, "custom.py", users=2, spawnRate=100, options={"greeting": "${env:WORD}"})
    load = RunningLocustfile.launch(made, tmp_path / "load", CLOCK)
    load.wait_ready(PATIENCE)
    load.phase("baseline", CLOCK.monotonic())
    load.phase("fault", CLOCK.monotonic())
    until("requests and exceptions", load, lambda: len(load.requests(0.0)) > 30 and load._reader.exceptions)
    # With the fault they may come from it.
    assert load.failure() is None
    summary = load.stop()
    assert {(request.name, request.outcome) for request in load.requests(0.0)} == {("rpc ${env:WORD}", "ok")}
    assert summary.exceptions.keys() == {"ValueError: no such article"}


def test_exceptions_in_the_baseline_are_a_failure(target: Target, tmp_path: Path) -> None:
    """The locustfile itself is wrong, and what it asserts would never be judged."""
    with RunningLocustfile.launch(plan(target, "custom.py", users=2, spawnRate=100), tmp_path / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        load.phase("baseline", CLOCK.monotonic())
        wait_until("a failure", lambda: (load.failure(), ""), PATIENCE, CLOCK)
        assert re.search(
            r"the locustfile raised \d+ exceptions in the baseline, such as: ValueError: no such article",
            str(load.failure()),
        )
        assert "no such article" in load.stop().error


def test_a_stall_is_the_time_that_users_waited(target: Target, tmp_path: Path) -> None:
    """Requests that have not ended are neither lost nor counted as failed."""
    load = run(plan(target, "shop.py", users=4, spawnRate=100), tmp_path / "load", 20)
    target.gate.clear()
    closed = CLOCK.monotonic()
    CLOCK.sleep(1.0)
    opened = CLOCK.monotonic()
    target.gate.set()
    until("requests after the stall", load, lambda: load.requests(0.0)[-1].started > opened)
    target.gate.clear()
    CLOCK.sleep(0.3)
    summary = load.stop()
    stalled = [request for request in load.requests(0.0) if request.started < opened < request.finished]
    assert len(stalled) == 4
    assert sum(request.finished - max(closed, request.started) for request in stalled) == pytest.approx(4.0, abs=0.5)
    assert len(summary.unfinished) == 4
    assert summary.offered == summary.achieved + 4


@pytest.mark.parametrize(("classes", "per_arrival"), [(["Buyer"], 3), (["Refused"], 1)])
def test_at_a_rate_each_arrival_is_one_task_or_sequence(
    target: Target, tmp_path: Path, classes: list[str], per_arrival: int
) -> None:
    load = run(plan(target, "fast.py", rate=40, classes=classes), tmp_path / "load", 40 * per_arrival)
    summary = load.stop()
    seen = load.requests(0.0)
    first = sorted(r.intended for r in seen if r.name in {"GET /one", "GET /503"})
    gaps = [later - earlier for earlier, later in pairwise(first)]
    assert gaps[:30] == pytest.approx([1 / 40] * len(gaps[:30]), abs=1e-4)
    assert summary.model == "open"
    assert summary.offered == summary.achieved + summary.dropped
    # The stop ends the sequences that run at that moment, of which a busy machine has several.
    cut = per_arrival * summary.achieved - len(seen)
    assert 0 <= cut <= (per_arrival - 1) * 8
    assert all(request.intended <= request.started for request in seen)


def test_at_a_rate_a_stall_does_not_reduce_the_arrivals(target: Target, tmp_path: Path) -> None:
    load = run(plan(target, "shop.py", rate=50, maxUsers=100, classes=["Admin"]), tmp_path / "load", 20)
    target.gate.clear()
    closed = CLOCK.monotonic()
    CLOCK.sleep(1.0)
    opened = CLOCK.monotonic()
    target.gate.set()
    until("requests after the stall", load, lambda: load.requests(0.0)[-1].intended > opened)
    summary = load.stop()
    stalled = [request for request in load.requests(0.0) if closed < request.intended < opened]
    assert len(stalled) == pytest.approx(50 * (opened - closed), abs=2)
    assert all(request.latency >= opened - request.intended for request in stalled)
    assert summary.dropped == 0


def test_too_few_users_drop_arrivals(target: Target, tmp_path: Path) -> None:
    load = run(plan(target, "shop.py", rate=50, maxUsers=3, classes=["Admin"]), tmp_path / "load", 20)
    target.gate.clear()
    CLOCK.sleep(1.0)
    target.gate.set()
    summary = load.stop()
    assert summary.saturated
    assert "no free user" in summary.error


def test_a_locustfile_that_ends_the_test_is_a_failure(target: Target, tmp_path: Path) -> None:
    quits = tmp_path / "quits.py"
    quits.write_text(
        "from locust import HttpUser, constant, task\n"
        "class Impatient(HttpUser):\n"
        "    wait_time = constant(0.05)\n"
        "    count = 0\n"
        "    @task\n"
        "    def go(self):\n"
        "        self.client.get('/')\n"
        "        self.count += 1\n"
        "        if self.count > 5:\n"
        "            print('that is enough')\n"
        "            self.environment.runner.quit()\n"
    )
    load = RunningLocustfile.launch(plan(target, quits, users=1), tmp_path / "load", CLOCK)
    wait_until("the end", lambda: (load.failure() or None, "running"), PATIENCE, CLOCK, every=0.05)
    assert "the locustfile ended the test" in (load.failure() or "")
    assert "that is enough" in load.stop().error


def test_users_that_all_end_are_a_failure(target: Target, tmp_path: Path) -> None:
    dies = tmp_path / "dies.py"
    dies.write_text(
        "from locust import HttpUser, constant, task\n"
        "class Locked(HttpUser):\n"
        "    wait_time = constant(0.05)\n"
        "    def on_start(self):\n"
        "        self.client.get('/')\n"
        "        raise RuntimeError('the login failed')\n"
        "    @task\n"
        "    def go(self):\n"
        "        self.client.get('/')\n"
    )
    with RunningLocustfile.launch(plan(target, dies, users=3, spawnRate=100), tmp_path / "load", CLOCK) as load:

        def ended() -> tuple[bool | None, str]:
            return "all users of the locustfile ended" in (load.failure() or "") or None, str(load.failure())

        wait_until("the end", ended, PATIENCE, CLOCK, every=0.05)
        # As the last exception, or with an older Locust in the last output alone.
        assert "the login failed" in (load.failure() or "")


def test_unreachable_target_is_inconclusive_with_the_reason(target: Target, tmp_path: Path) -> None:
    nobody = replace(plan(target, "shop.py", users=1), port=1)
    with RunningLocustfile.launch(nobody, tmp_path / "load", CLOCK) as load:
        wait_until(
            "an attempt",
            lambda: ("refused" in (tmp_path / "load/load-records.jsonl").read_text() or None, ""),
            30,
            CLOCK,
        )
        with pytest.raises(Inconclusive, match="last seen: refused"):
            load.wait_ready(0.2)


def test_a_killed_process_is_a_failure_and_keeps_its_samples(target: Target, tmp_path: Path) -> None:
    load = run(plan(target, "shop.py", users=2, spawnRate=100), tmp_path / "load", 10)
    (pid,) = load.pids
    os.kill(pid, signal.SIGKILL)
    wait_until("the end", lambda: (load.failure() or None, "running"), PATIENCE, CLOCK, every=0.05)
    summary = load.stop()
    assert "exit code -9" in summary.error
    assert summary.achieved >= 10


def test_a_closed_input_ends_the_users(target: Target, tmp_path: Path) -> None:
    """As after the death of the harness, which held the other end."""
    load = run(plan(target, "shop.py", users=2, spawnRate=100), tmp_path / "load", 10)
    load.stop()
    records = tmp_path / "load" / "load-records.jsonl"
    records.write_bytes(b"")
    child = Child.start(
        "the load process",
        plan(target, "shop.py", users=1).argv(tmp_path / "load" / "load-settings.json"),
        tmp_path / "again.log",
        folder=FILES,
    )
    wait_until("some load", lambda: (records.stat().st_size > 500 or None, "none"), PATIENCE, CLOCK)
    child.end(PATIENCE)
    assert "the harness is gone: standard input closed" in records.read_text()
    assert child.exit_code() == 0


def test_requests_to_other_hosts_are_mentioned(target: Target, tmp_path: Path) -> None:
    strays = tmp_path / "strays.py"
    with serving() as other:
        strays.write_text(
            "from locust import HttpUser, constant, task\n"
            "class Stray(HttpUser):\n"
            "    wait_time = constant(0.05)\n"
            "    @task\n"
            "    def go(self):\n"
            "        self.client.get('/')\n"
            f"        self.client.get('http://me:secret@127.0.0.1:{other.port}/x', name='/x')\n"
        )
        load = run(plan(target, strays, users=1), tmp_path / "load", 10)
        summary = load.stop()
        (note,) = summary.notes
        assert note == f"{len(other.paths)} requests went to 127.0.0.1:{other.port}, which is not the target"
