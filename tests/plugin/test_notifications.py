"""Notifications of a session: real webhooks on loopback, and apprise as it is installed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from harness.model.verdict import Verdict
from harness.notifications.signature import HEADER, verify
from tests.plugin.conftest import HANGS, Project
from tests.plugin.test_secrets import everything
from tests.receiver import Receiver, receiving

SECRET = "0123456789abcdef-c4n4ry"
HOOK = "--webhook-secret=env:HOOK_SECRET"
BROKEN = "faults: [mark: {}]\nobjectives: [told: {says: BROKEN}]\n"
STUCK = "faults: [mark: {fails: undo}]\nobjectives: [told: {}]\n"
needs_apprise = pytest.mark.skipif(find_spec("apprise") is None, reason="the extra notify is not installed")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("no_proxy", "*")
    with receiving() as found:
        yield found


def test_run_is_announced_and_its_verdict_sent(project: Project, receiver: Receiver) -> None:
    project.experiment("good")
    project.experiment("missed", BROKEN)
    result = project.run("--cluster", f"--webhook={receiver.url}/c4n4ry", HOOK, "experiments")
    result.assert_outcomes(passed=1, failed=1)
    assert receiver.events == ["started", "finished"]
    started, finished = (request.json for request in receiver.requests)
    assert started["cluster"]["context"] == finished["cluster"]["context"] != ""
    assert (finished["verdict"], finished["urgency"], finished["passed"], finished["failed"]) == (
        "BROKEN",
        "warning",
        1,
        1,
    )
    assert [(each["experiment"], each["objective"]) for each in finished["missed"]] == [("missed", "told")]
    assert finished["report"].endswith("/index.html")
    now = time.time()
    assert all(verify(SECRET, each.headers[HEADER.lower()], each.body, now) for each in receiver.requests)
    ids = [request.headers["idempotency-key"] for request in receiver.requests]
    assert ids == [started["id"], finished["id"]]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "xdist"])
def test_leftover_is_sent_at_once_and_once(project: Project, receiver: Receiver, workers: tuple[str, ...]) -> None:
    project.experiment("a-stuck", STUCK)
    project.experiment("b-good")
    process = project.start("-p", "xdist", "--cluster", f"--webhook={receiver.url}", HOOK, *workers, "experiments")
    out, _ = process.communicate(timeout=HANGS)
    assert sorted(receiver.events) == ["finished", "left-behind", "started"], out
    (left,) = [request.json for request in receiver.requests if request.json["event"] == "left-behind"]
    assert left["urgency"] == "critical"
    assert len(left["left_behind"]) == 1
    assert "take the mark away: the mark resists" in left["left_behind"][0]


def test_interrupted_run_is_aborted_and_its_leftovers_sent(project: Project, receiver: Receiver) -> None:
    project.experiment("stopped", "faults: [mark: {fails: inject, error: interrupt}]\nobjectives: [told: {}]\n")
    process = project.start("--cluster", f"--webhook={receiver.url}", HOOK, "experiments")
    process.communicate(timeout=HANGS)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert receiver.events == ["started", "aborted"]
    aborted = receiver.requests[-1].json
    assert aborted["reason"].startswith("interrupted")
    assert aborted["verdict"] == "INCONCLUSIVE"


def test_refused_start_is_aborted_with_the_reason(project: Project, receiver: Receiver) -> None:
    (project.root / ".resilience-halt").write_text("lunch")
    project.experiment("one")
    result = project.run("--cluster", f"--webhook={receiver.url}", HOOK, "experiments")
    assert result.ret == 6
    assert receiver.events == ["aborted"]
    assert "lunch" in receiver.requests[0].json["reason"]


def test_halted_run_is_aborted(project: Project, receiver: Receiver) -> None:
    project.experiment("one")
    project.experiment("two")
    project.pytester.makeconftest(
        f"import pathlib\ndef pytest_resilience_experiment_judged(record):\n"
        f"    pathlib.Path({str(project.root / '.resilience-halt')!r}).write_text('enough')\n"
    )
    project.run("--cluster", f"--webhook={receiver.url}", HOOK, "experiments").assert_outcomes(passed=1, skipped=1)
    assert receiver.events == ["started", "aborted"]
    assert "enough" in receiver.requests[-1].json["reason"]


@pytest.mark.parametrize(
    "arguments", [("--plan",), ("--collect-only",), ("-k", "nothing")], ids=["plan", "collect", "none"]
)
def test_session_that_runs_nothing_sends_nothing(project: Project, receiver: Receiver, arguments: list[str]) -> None:
    project.experiment("one")
    project.run("--cluster", f"--webhook={receiver.url}", HOOK, *arguments, "experiments")
    assert receiver.events == []


def test_failed_webhook_warns_and_changes_no_verdict(project: Project, receiver: Receiver) -> None:
    receiver.answers = lambda _: (404, {}, b"c4n4ry")
    project.experiment("good")
    result = project.run("--cluster", f"--webhook={receiver.url}/c4n4ry", HOOK, "experiments")
    assert result.ret == 0
    lines = [
        f"could not notify {receiver.url}/… of {event}: found status 404, expected 2xx"
        for event in ("started", "finished")
    ]
    result.stdout.fnmatch_lines([f"warning: {line}" for line in lines])
    record = project.record()
    assert record.warnings == lines
    assert record.experiments[0].verdict is Verdict.HELD
    told = everything(project, result)
    assert [where for where, text in told.items() if "c4n4ry" in text] == []
    shown = {where.rpartition("/")[2] for where, text in told.items() if "of finished: found status 404" in text}
    assert shown >= {"the screen", "results.json", "index.html", "summary.md"}


def test_events_can_be_chosen(project: Project, receiver: Receiver) -> None:
    project.experiment("good")
    project.run("--cluster", f"--webhook={receiver.url}", HOOK, "--notify-on=finished", "experiments")
    assert receiver.events == ["finished"]


def test_link_to_the_report_is_sent(project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENCE_REPORT_URL", "https://reports.test/all/")
    project.experiment("good")
    project.run("--cluster", f"--webhook={receiver.url}", HOOK, "experiments")
    assert receiver.requests[-1].json["link"] == f"https://reports.test/all/{project.record().run}/index.html"


def test_secrets_in_files_of_the_ini_file_stay_there(project: Project, receiver: Receiver) -> None:
    (project.root / "my hook").write_text(f"{receiver.url}/c4n4ry\n")
    (project.root / "key").write_text(f"{SECRET}\n")
    project.pytester.makeini("[pytest]\nresilience_webhook =\n    file:my hook\nresilience_webhook_secret = file:key\n")
    project.experiment("good")
    result = project.run("--cluster", "--junitxml=reports/junit.xml", "--log-level=DEBUG", "experiments")
    assert receiver.events == ["started", "finished"]
    told = everything(project, result)
    assert [where for where, text in told.items() if "c4n4ry" in text] == []


@needs_apprise
def test_apprise_sends_and_no_secret_is_shown(project: Project, receiver: Receiver) -> None:
    project.experiment("missed", BROKEN)
    address = receiver.url.replace("http://", "json://me:c4n4ry@") + "/c4n4ry"
    result = project.run("--cluster", "--notify", address, "--log-level=DEBUG", "experiments")
    kinds = [(request.json["type"], request.json["title"]) for request in receiver.requests]
    assert [kind for kind, _ in kinds] == ["info", "warning"]
    assert kinds[1][1] == "BROKEN: 1 experiment broke."
    assert "BROKEN: missed: told" in receiver.requests[1].json["message"]
    assert (
        project.record().command == "pytest -p no:hypothesispytest -p no:cacheprovider --assert=plain -rA --cluster "
        "--notify json://… --log-level=DEBUG experiments"
    )
    told = everything(project, result)
    assert [where for where, text in told.items() if "c4n4ry" in text] == []


@needs_apprise
def test_address_that_apprise_refuses_stops_the_start(project: Project) -> None:
    project.experiment("good")
    result = project.run("--cluster", "--notify=nosuchservice://c4n4ry", "--notify=json://127.0.0.1", "experiments")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--notify: found nosuchservice://…, which apprise does not understand*"])
    assert "c4n4ry" not in result.stderr.str()
    assert not project.touched


def test_all_mistakes_stop_the_start_together(project: Project) -> None:
    project.experiment("good")
    result = project.run("--cluster", "--webhook=ftp://c4n4ry", "--notify-on=never", "experiments")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str()
    for field in ("--webhook:", "--webhook-secret:", "--notify-on:"):
        assert field in text
    assert "c4n4ry" not in text
    assert not project.touched


DENIAL = b'{"allow": false, "reason": "release freeze"}'


def ask(receiver: Receiver, moment: str) -> None:
    """Let the receiver deny every question of one moment."""

    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        denied = json.loads(request.body)["question"]["moment"] == moment  # type: ignore[attr-defined]
        return 200, {}, DENIAL if denied else b'{"allow": true}'

    receiver.answers = answer


def moments(receiver: Receiver) -> list[tuple[str, str, int, int]]:
    found = [request.json["question"] for request in receiver.requests]
    return [
        (
            each["moment"],
            each["experiment"],
            len(each["faults"]),
            sum(len(fault["victims"]) for fault in each["faults"]),
        )
        for each in found
    ]


def veto(receiver: Receiver) -> tuple[str, str]:
    return f"--veto-webhook={receiver.url}", HOOK


PYTHON = """
from tests.fake_plugin import Mark
def test_python(experiment):
    experiment.workload("experiments/workloads/shop")
    experiment.baseline(seconds=0.05)
    with experiment.inject(Mark()):
        pass
"""


def test_veto_webhook_gets_every_question(project: Project, receiver: Receiver) -> None:
    receiver.answers = lambda _: (200, {}, b'{"allow": true}')
    project.experiment("good", "faults: [mark: {}]\nobjectives: [told: {}]\n")
    project.pytester.makepyfile(test_python=PYTHON)
    project.run("--cluster", *veto(receiver), "experiments", "test_python.py")
    python = project.record().experiments[1].name
    assert moments(receiver) == [
        ("run", "", 0, 0),
        ("experiment", "good", 1, 0),
        ("injection", "good", 1, 1),
        ("experiment", python, 0, 0),
        ("injection", python, 1, 1),
    ]
    question = receiver.requests[2].json["question"]
    assert question["faults"] == [
        {
            "kind": "mark",
            "parameters": {"fails": "", "error": "harness", "mark": "broken"},
            "victims": question["faults"][0]["victims"],
        }
    ]
    assert question["namespace"].startswith("rh-good-")
    assert project.record().warnings == []


@pytest.mark.parametrize("moment", ["experiment", "injection"])
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "xdist"])
def test_denied_experiments_are_skipped_with_the_reason(
    project: Project, receiver: Receiver, moment: str, workers: tuple[str, ...]
) -> None:
    ask(receiver, moment)
    project.experiment("good", "faults: [mark: {}]\nobjectives: [told: {}]\n")
    project.pytester.makepyfile(test_python=PYTHON)
    process = project.start("-p", "xdist", "--cluster", *veto(receiver), *workers, "experiments", "test_python.py")
    out, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, out
    record = project.record()
    assert [skip.reason for skip in record.skipped] == [
        f"denied by the veto webhook {receiver.url}/…: release freeze"
    ] * 2
    assert record.experiments == []
    assert "2 skipped" in out
    assert project.happened()[-1].startswith("left: []")


def test_denial_is_an_error_with_strict(project: Project, receiver: Receiver) -> None:
    ask(receiver, "experiment")
    project.experiment("good")
    result = project.run("--cluster", "--cluster-strict", *veto(receiver), "experiments")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*denied by the veto webhook*release freeze*"])


def test_denied_run_does_not_start(project: Project, receiver: Receiver) -> None:
    ask(receiver, "run")
    project.experiment("good")
    result = project.run("--cluster", *veto(receiver), "experiments")
    assert result.ret == 6
    result.stdout.fnmatch_lines(["*Vetoed: denied by the veto webhook*release freeze*"])
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(("option", "code"), [((), 6), (("--veto-on-error=allow",), 0)], ids=["refuse", "allow"])
def test_wrong_answer_refuses_the_start(
    project: Project, receiver: Receiver, option: tuple[str, ...], code: int
) -> None:
    receiver.answers = lambda _: (200, {}, b"ok")
    project.experiment("good")
    assert project.run("--cluster", *veto(receiver), *option, "experiments").ret == code


def test_dry_run_needs_no_permission(project: Project, receiver: Receiver) -> None:
    project.experiment("good")
    project.run("--cluster", "--plan", *veto(receiver), "experiments")
    assert receiver.requests == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_a_webhook_hangs_ends_the_wait(
    project: Project, receiver: Receiver, number: signal.Signals
) -> None:
    receiver.answers = lambda request: None if b'"finished"' in request.body else (200, {}, b"")
    project.experiment("good")
    process = project.start("--cluster", f"--webhook={receiver.url}", HOOK, "experiments")
    while "finished" not in receiver.events:
        assert process.poll() is None
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=HANGS)
    assert project.record().experiments[0].verdict is Verdict.HELD
    assert "Traceback" not in out
