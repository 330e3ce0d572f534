"""Send notifications by apprise: Slack, Teams, mail, PagerDuty, Opsgenie and about a hundred other services."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.common.clock import Clock
from harness.common.errors import InputError, Problem
from harness.common.secret_values import SecretValue
from harness.common.waiting import retrying
from harness.notifications.event import Notification
from harness.notifications.webhook import DELIVERY_SECONDS, LONGEST_PAUSE, DeliveryFailed

# Seconds for one attempt: starting the process and importing apprise takes about one.
ATTEMPT_SECONDS = 20.0
# apprise does not report why a service failed, so a wrong token is retried like an outage: not often.
ATTEMPTS = 3

# Runs a task of ``apprise_process`` for at most these seconds. Raises DeliveryFailed.
RunProcess = Callable[[Mapping[str, Any], float], list[bool]]


def run_process(task: Mapping[str, Any], seconds: float) -> list[bool]:
    """Run a task of ``apprise_process``. Raises DeliveryFailed if it does not end well within ``seconds``."""
    command = [sys.executable, "-m", "harness.notifications.apprise_process"]
    try:
        # A separate session: Ctrl-C must not end the notification that the run was interrupted.
        done = subprocess.run(
            command,
            input=json.dumps(task).encode(),
            capture_output=True,
            timeout=seconds,
            start_new_session=True,
            check=True,
        )
        found: list[bool] = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise DeliveryFailed(f"apprise did not end within {seconds:g} s", retryable=True) from error
    # Its output is not shown: it may contain the URLs.
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        raise DeliveryFailed(f"apprise failed: {type(error).__name__}") from error
    return found


@dataclass(frozen=True)
class AppriseSender:
    """One URL of apprise."""

    url: SecretValue
    clock: Clock
    run: RunProcess = run_process

    def __str__(self) -> str:
        return str(self.url)

    def send(self, message: Notification, seconds: float = DELIVERY_SECONDS) -> None:
        """Send a notification, with retries for at most ``seconds``. Raises DeliveryFailed."""
        deadline = self.clock.monotonic() + seconds
        shown = {"title": message.title, "text": message.text, "urgency": message.urgency}
        task = {"urls": [self.url.text], "message": shown}
        retrying(self.clock, ATTEMPTS, longest=LONGEST_PAUSE, deadline=deadline)(self._once, task, deadline)

    def _once(self, task: Mapping[str, Any], deadline: float) -> None:
        left = min(ATTEMPT_SECONDS, deadline - self.clock.monotonic())
        if self.run(task, left) != [True]:
            raise DeliveryFailed("apprise could not deliver it", retryable=True)


def check_urls(urls: Sequence[SecretValue], field: str, run: RunProcess = run_process) -> None:
    """Raise InputError with every address that apprise does not understand; nothing is sent."""
    if not urls:
        return
    try:
        valid = run({"urls": [each.text for each in urls]}, 3 * ATTEMPT_SECONDS)
    except DeliveryFailed as error:
        raise InputError([Problem(str(error), field=field)]) from error
    problems = [
        Problem(f"found {each}, which apprise does not understand, expected a URL as in its documentation", field=field)
        for each, good in zip(urls, valid, strict=True)
        if not good
    ]
    if problems:
        raise InputError(problems)
