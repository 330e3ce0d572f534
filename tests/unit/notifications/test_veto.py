"""The veto webhook: only a clear yes allows, and an error refuses unless that is changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from harness.common.clock import FakeClock, SystemClock
from harness.common.secret_values import SecretValue
from harness.engine.steps.veto import Question
from harness.notifications.veto import VETO_SECONDS, VetoWebhook
from harness.notifications.webhook import Answer, DeliveryFailed, Post, Webhook

QUESTION = Question(moment="run", context="kind-a", server="https://127.0.0.1", ownership="owned")


def veto(answer: Answer | DeliveryFailed, *, allow_on_error: bool = False) -> str:
    def answered(_url: str, _body: bytes, _headers: Mapping[str, str], _seconds: float) -> Answer:
        if isinstance(answer, DeliveryFailed):
            raise answer
        return answer

    return ask(answered, allow_on_error=allow_on_error)


def ask(post: Post, *, allow_on_error: bool = False, clock: FakeClock | SystemClock | None = None) -> str:
    clock = clock or SystemClock()
    hook = Webhook(SecretValue("https://hooks.test/canary"), SecretValue("0123456789abcdef"), clock, post)
    return VetoWebhook(hook, "r1", clock, allow_on_error)(QUESTION)


def test_clear_yes_allows() -> None:
    assert veto(Answer(200, {}, b'{"allow": true, "more": 1}')) == ""


def test_denial_has_its_reason() -> None:
    denied = veto(Answer(200, {}, b'{"allow": false, "reason": "release\\nfreeze"}'))
    assert denied == "denied by the veto webhook https://hooks.test/…: release freeze"
    assert veto(Answer(200, {}, b'{"allow": false}')).endswith(": no reason given")


UNCLEAR = {
    "empty": Answer(200, {}, b""),
    "no content": Answer(204, {}, b""),
    "text": Answer(200, {}, b"ok canary"),
    "string": Answer(200, {}, b'{"allow": "yes"}'),
    "list": Answer(200, {}, b"[]"),
    "missing": Answer(200, {}, b"{}"),
    "forbidden": Answer(403, {}, b'{"allow": true}'),
    "no connection": DeliveryFailed("the certificate of the server is not accepted"),
}


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_anything_else_refuses_unless_changed(answer: Answer | DeliveryFailed) -> None:
    refused = veto(answer)
    assert refused.startswith("refused, since the veto webhook https://hooks.test/… gave no answer: ")
    assert refused.endswith("--veto-on-error=allow permits this")
    assert "canary" not in refused
    assert veto(answer, allow_on_error=True) == ""


def test_slow_drip_is_bounded() -> None:
    clock, end = FakeClock(), threading.Event()

    def dripping(_url: str, _body: bytes, _headers: Mapping[str, str], _seconds: float) -> Answer:
        end.wait()
        return Answer(200, {}, b'{"allow": true}')

    before = clock.monotonic()
    assert f"no answer within {VETO_SECONDS:g} s" in ask(dripping, clock=clock)
    assert clock.monotonic() - before == VETO_SECONDS
    end.set()
