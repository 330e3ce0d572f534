"""The published schemas of webhooks are those of the models, and what is sent fits them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.common.clock import FakeClock
from harness.engine.preflight.veto import check_experiment
from harness.engine.steps.veto import Question
from harness.notifications.event import Notification
from harness.notifications.events import Events
from harness.notifications.schemas import MODELS, published, published_text, webhook_schema
from harness.notifications.veto import VetoRequest
from harness.results.record import RunRecord
from tests.fake_run import Stage


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(webhook_schema(name))


def sent(message: Notification | VetoRequest) -> Any:
    return json.loads(message.model_dump_json(by_alias=True))


@pytest.mark.parametrize("name", MODELS)
def test_published_schema_is_that_of_the_model(name: str) -> None:
    """To write it again: ``published(NAME).write_text(published_text(NAME))``."""
    jsonschema.Draft202012Validator.check_schema(webhook_schema(name))
    assert published(name).read_text() == published_text(name)


def test_every_notification_fits_its_schema(tmp_path: Path) -> None:
    record = Stage(tmp_path).play()
    run = RunRecord(run="run1", started="2026-01-01T00:00:00Z", seed=1, harness="0", experiments=[record])
    events = Events("run1", FakeClock(), "https://ci.test/1")
    report = tmp_path / "index.html"
    messages = [events.started(run), events.finished(run, report), events.aborted("stopped", run, report)]
    messages.append(events.left_behind(["one", "two"], run))
    for message in messages:
        data = sent(message)
        assert (data["apiVersion"], data["kind"]) == ("resilience/v1", "Notification")
        validator("notification").validate(data)
    data["evnet"] = "finished"
    with pytest.raises(jsonschema.ValidationError):
        validator("notification").validate(data)


def test_question_fits_its_schema(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    questions: list[Question] = []

    def keep(question: Question) -> str:
        questions.append(question)
        return ""

    check_experiment(replace(stage.run(), veto=keep), stage.experiment())
    (question,) = questions
    assert question.faults
    message = VetoRequest(id="1", at="2026-01-01T00:00:00Z", run="run1", question=question)
    validator("veto-request").validate(sent(message))


@pytest.mark.parametrize(
    ("answer", "fits"), [({"allow": False, "reason": "x"}, True), ({"allow": "no"}, False), ({}, False)]
)
def test_answer_schema(answer: dict[str, object], fits: bool) -> None:
    assert validator("veto-answer").is_valid(answer) is fits
