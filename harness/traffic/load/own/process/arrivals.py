"""Arrivals at a rate over the user classes of a locustfile: one task of one user for each arrival.

Each user runs Locust's own loop, but does not wait by its ``wait_time``: between two tasks it waits for its next
arrival. Of a SequentialTaskSet the whole sequence is one arrival. A nested TaskSet ends an arrival after each of its
tasks and keeps its user, as it does in Locust.
"""

from __future__ import annotations

import importlib.util
import random
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gevent.event import Event
from locust import SequentialTaskSet, TaskSet
from locust.env import Environment
from locust.exception import RescheduleTaskImmediately, StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from .recorder import Recorder

# The number of overdue arrivals started per turn of the event loop.
TURN = 8
CONNECT_TIMEOUT = 1.0


class _Seat:
    """A user's place at the gate: the arrival that it serves, if any."""

    def __init__(self) -> None:
        self.serving = False
        self.in_task: set[int] = set()
        self.called = Event()
        self.due: float | None = None


class Arrivals:
    """Starts arrivals by the schedule on users that wait at the gate, and more users while all are busy."""

    def __init__(self, settings: dict[str, Any], environment: Environment, recorder: Recorder) -> None:
        self._settings, self._environment, self._recorder = settings, environment, recorder
        schedule = _schedule_module()
        self._schedule = schedule.ArrivalSchedule(_Profile(settings["curves"], settings["repeat"]), settings["rate"])
        self._classes = list(environment.user_classes)
        self._weights = [max(float(kind.weight), 0.0) or 1.0 for kind in self._classes]
        self._seats: WeakKeyDictionary[Any, _Seat] = WeakKeyDictionary()
        self._steps: WeakKeyDictionary[TaskSet, int] = WeakKeyDictionary()
        self._idle: dict[type, deque[_Seat]] = {kind: deque() for kind in self._classes}
        self._pending: dict[type, deque[float]] = {kind: deque() for kind in self._classes}
        self._changed = Event()
        self._stopped = False
        self._random = random.Random(settings["seed"])  # noqa: S311 - which user class is next is no secret

    def gate(self) -> None:
        """Make every task of every user wait for an arrival."""
        TaskSet.execute_next_task = self._gated(TaskSet.execute_next_task)  # type: ignore[method-assign]
        TaskSet.wait = self._waiting(TaskSet.wait)  # type: ignore[method-assign]
        gevent.spawn(self._dispatch)

    def ready(self) -> bool:
        """Whether users wait at the gate and the target accepts a connection."""
        if not any(self._idle.values()):
            return False
        try:
            with socket.create_connection(tuple(self._settings["address"]), timeout=CONNECT_TIMEOUT):
                return True
        except OSError as error:
            self._recorder.last_outcome = f"{self._settings['host']}: {error}"
            return False

    def enter(self, phase: str, at: float, effective: float) -> None:
        """Switch to the curve of a phase that began at ``at``, from ``effective`` on (monotonic times)."""
        self._schedule.enter(phase, at, effective)
        self._changed.set()

    def stop(self) -> None:
        """Start no more arrivals; those that still have no user are dropped."""
        self._stopped = True
        self._changed.set()
        for pending in self._pending.values():
            while pending:
                self._drop(pending.popleft(), "no free user")

    def _dispatch(self) -> None:
        while not self._stopped:
            due = self._schedule.peek()
            now = time.monotonic()
            if due is None or due > now:
                if self._changed.wait(timeout=None if due is None else due - now):
                    self._changed.clear()
                continue
            self._schedule.take()
            self._recorder.offered += 1
            self._begin(due, now)
            if self._recorder.offered % TURN == 0:
                gevent.sleep(0)

    def _begin(self, due: float, now: float) -> None:
        (kind,) = self._random.choices(self._classes, self._weights)
        runner = self._environment.runner
        assert runner is not None
        if now - due > self._settings["late_after"]:
            self._drop(due, "started too late")
        elif self._idle[kind]:
            # The one that came last: the others stay unused while the load is low.
            seat = self._idle[kind].pop()
            seat.due = due
            seat.called.set()
        elif runner.user_count < self._settings["max_users"]:
            self._pending[kind].append(due)
            runner.spawn_users({kind.__name__: 1})
        else:
            self._drop(due, "no free user")

    def _drop(self, due: float, reason: str) -> None:
        self._recorder.dropped += 1
        self._recorder.write("dropped", round(due, 6), reason)

    def _await_arrival(self, user: Any, seat: _Seat) -> None:  # noqa: ANN401 - any user class
        due = self._next_pending(type(user))
        if due is None:
            seat.called.clear()
            seat.due = None
            self._idle[type(user)].append(seat)
            user._state = LOCUST_STATE_WAITING  # noqa: SLF001 - as in Locust's own wait
            try:
                seat.called.wait()
            except gevent.GreenletExit:
                if seat in self._idle[type(user)]:
                    self._idle[type(user)].remove(seat)
                raise
            if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001
                raise StopUser
            user._state = LOCUST_STATE_RUNNING  # noqa: SLF001
            due = seat.due
        seat.serving = True
        if due is not None:
            self._recorder.due[gevent.getcurrent()] = due

    def _next_pending(self, kind: type) -> float | None:
        pending = self._pending.get(kind)
        while pending:
            due = pending.popleft()
            if time.monotonic() - due <= self._settings["late_after"]:
                return due
            self._drop(due, "started too late")
        return None

    def _seat(self, user: Any) -> _Seat:  # noqa: ANN401
        return self._seats.setdefault(user, _Seat())

    def _finish_step(self, tasks: TaskSet, seat: _Seat) -> None:
        """End the arrival, unless the user is within a sequence."""
        if isinstance(tasks, SequentialTaskSet):
            done = self._steps[tasks] = self._steps.get(tasks, 0) + 1
            if tasks.tasks and done % len(tasks.tasks):
                return
        seat.serving = False
        self._recorder.due.pop(gevent.getcurrent(), None)

    def _gated(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def execute_next_task(tasks: TaskSet) -> Any:  # noqa: ANN401
            seat = self._seat(tasks.user)
            if not seat.serving:
                self._await_arrival(tasks.user, seat)
            seat.in_task.add(id(tasks))
            try:
                return original(tasks)
            except RescheduleTaskImmediately:
                # A nested set was left: Locust picks the next task at once, which is the next arrival here.
                self._finish_step(tasks, seat)
                raise
            finally:
                seat.in_task.discard(id(tasks))

        return execute_next_task

    def _waiting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def wait(tasks: TaskSet) -> None:
            seat = self._seat(tasks.user)
            if id(tasks) in seat.in_task:
                # A pause that a task makes itself.
                original(tasks)
                return
            if tasks.user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001
                raise StopUser
            self._finish_step(tasks, seat)

        return wait


class _Profile:
    """The curves of a load profile, in the form that the schedule reads."""

    def __init__(self, curves: dict[str, list[list[float]]], repeat: dict[str, float]) -> None:
        self._repeat = repeat
        self._curves = {
            phase: tuple(SimpleNamespace(at=at, share=share) for at, share in points)
            for phase, points in curves.items()
        }

    def names(self, phase: str) -> bool:
        return phase in self._curves

    def curve(self, phase: str) -> tuple[SimpleNamespace, ...]:
        return self._curves[self._phase_of_curve(phase)]

    def repeat_of(self, phase: str) -> float:
        return self._repeat.get(self._phase_of_curve(phase), 0.0)

    def _phase_of_curve(self, phase: str) -> str:
        order = ("baseline", "fault", "recovery", "settle")
        earlier = order[: order.index(phase) + 1]
        return next(name for name in reversed(earlier) if name in self._curves)


def _schedule_module() -> ModuleType:
    """Load the harness's schedule by its path: it uses the standard library alone."""
    file = Path(__file__).resolve().parents[2] / "schedule.py"
    spec = importlib.util.spec_from_file_location("resilience_locust_schedule", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up the module of their class by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
