"""The veto webhook: it is requested before the run, each experiment and each injection, and may deny it.

Request and answer are JSON: ``harness schema veto`` and ``harness schema veto-answer``.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from harness.common.clock import Clock, iso
from harness.common.errors import HarnessError
from harness.engine.steps.veto import Question
from harness.notifications.event import Message
from harness.notifications.webhook import Answer, DeliveryFailed, Webhook
from harness.results.reporting.plain import one_line

# Seconds for one question with all its retries: an experiment waits for it. A request gets about a third.
VETO_SECONDS, REQUEST_SECONDS = 15.0, 5.0
LONGEST_REASON = 500


class VetoRequest(Message):
    """What the veto webhook receives."""

    kind: Literal["VetoRequest"] = "VetoRequest"
    question: Question


class VetoAnswer(BaseModel):
    """What the veto webhook answers, with status 200; other fields are ignored."""

    allow: bool = Field(strict=True)
    reason: str = Field(default="", description="why it is denied; it becomes the reason of the skip")


@dataclass(frozen=True)
class VetoWebhook:
    """Requests one webhook for one run. ``allow_on_error``: without an answer everything is allowed."""

    webhook: Webhook
    run_id: str
    clock: Clock
    allow_on_error: bool = False

    def __call__(self, question: Question) -> str:
        """Return why what the question describes is denied; empty if it is allowed."""
        try:
            answer = self._answer(question)
        except HarnessError as error:
            if self.allow_on_error:
                return ""
            hint = "--veto-on-error=allow permits this"
            return f"refused, since the veto webhook {self.webhook} gave no answer: {error}; {hint}"
        if answer.allow:
            return ""
        reason = one_line(answer.reason, LONGEST_REASON) or "no reason given"
        return f"denied by the veto webhook {self.webhook}: {reason}"

    def _answer(self, question: Question) -> VetoAnswer:
        message = VetoRequest(id=str(uuid.uuid4()), at=iso(self.clock.wall()), run=self.run_id, question=question)
        answer = self._bounded(message)
        if answer.status != 200:
            raise DeliveryFailed(f"found status {answer.status}, expected 200")
        try:
            return VetoAnswer.model_validate_json(answer.body)
        except ValidationError as error:
            raise DeliveryFailed('found something else, expected JSON like {"allow": false, "reason": "…"}') from error

    def _bounded(self, message: Message) -> Answer:
        """Send in a thread, since a server that sends one byte at a time would exceed every time limit of a socket."""
        found: list[Answer | HarnessError] = []
        ended = threading.Event()

        def send() -> None:
            try:
                found.append(self.webhook.send(message, VETO_SECONDS, REQUEST_SECONDS))
            except HarnessError as error:
                found.append(error)
            finally:
                ended.set()

        threading.Thread(target=send, name="veto webhook", daemon=True).start()
        self.clock.wait(ended, VETO_SECONDS)
        if not found:
            raise DeliveryFailed(f"no answer within {VETO_SECONDS:g} s")
        if isinstance(found[0], HarnessError):
            raise found[0]
        return found[0]
