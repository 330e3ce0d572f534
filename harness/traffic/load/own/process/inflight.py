"""The requests that users are waiting for: Locust reports a request when it ends, and one that hangs never ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from locust import FastHttpUser, HttpUser, TaskSet
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment


class InFlight:
    """Requests that have started and not ended, and since when users of other protocols are in a task."""

    def __init__(self) -> None:
        self._requests: dict[int, tuple[float, str]] = {}
        self._busy: dict[int, float] = {}
        self._number = 0

    def watch(self) -> None:
        """Watch the HTTP clients of Locust and the tasks of all users."""
        for client in (HttpSession, FastHttpSession):
            client.request = self._watched(client.request)  # type: ignore[method-assign]
        TaskSet.execute_task = self._timed(TaskSet.execute_task)  # type: ignore[method-assign]

    def unfinished(self, environment: Environment) -> Iterator[tuple[float, str]]:
        """Yield the start, in monotonic seconds, and the name of what has not ended."""
        yield from self._requests.values()
        if environment.runner:
            for greenlet in list(environment.runner.user_greenlets):
                user = greenlet.args[0] if greenlet.args else None
                since = self._busy.get(id(user))
                # What an HTTP user does outside of a request is no request, such as a pause inside of a task.
                if since is not None and not isinstance(user, HttpUser | FastHttpUser):
                    yield since, type(user).__name__

    def _watched(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def request(client: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            self._number = number = self._number + 1
            name = kwargs.get("name") or (args[0] if args else None) or getattr(client, "request_name", None) or url
            self._requests[number] = (time.monotonic(), f"{method} {name}")
            try:
                return original(client, method, url, *args, **kwargs)
            finally:
                self._requests.pop(number, None)

        return request

    def _timed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def execute_task(tasks: TaskSet, task: Any) -> Any:  # noqa: ANN401
            user = id(tasks.user)
            outer = self._busy.get(user)
            self._busy[user] = time.monotonic()
            try:
                return original(tasks, task)
            finally:
                if outer is None:
                    self._busy.pop(user, None)
                else:
                    self._busy[user] = time.monotonic()

        return execute_task
