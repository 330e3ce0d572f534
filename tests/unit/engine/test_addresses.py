"""Addresses of notifications: read from options, environment variables and files, and never shown in full."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.engine import addresses as module
from harness.engine.addresses import Addresses
from harness.engine.settings import recorded_command, resolve

SECRET = "0123456789abcdef-canary"
GIVEN = {"resilience_webhook_secret": "env:HOOK_SECRET"}


@pytest.fixture(autouse=True)
def apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: ModuleSpec(name, None))


def addresses(given: dict[str, str | list[str]], environ: dict[str, str] | None = None) -> Addresses:
    variables = {"HOOK_SECRET": SECRET, **(environ or {})}
    return resolve("auto", given.get, lambda _name: "", variables).addresses


def problems(given: dict[str, str | list[str]], environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        addresses(given, environ)
    return [str(problem) for problem in caught.value.problems]


def test_addresses_come_from_options_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "my url").write_text("https://hooks.test/three\n")
    given: dict[str, str | list[str]] = {
        **GIVEN,
        "resilience_notify": ["slack://a/b/c?to=x,y", "env:MAIL"],
        "resilience_webhook": [f"file:{tmp_path}/my url"],
    }
    found = addresses(given, {"MAIL": "mailto://me:word@example.test", "RESILIENCE_VETO_WEBHOOK": "http://127.0.0.1/v"})
    assert [each.text for each in found.notify] == ["slack://a/b/c?to=x,y", "mailto://me:word@example.test"]
    assert [each.text for each in found.webhooks] == ["https://hooks.test/three"]
    assert found.veto is not None
    assert found.veto.text == "http://127.0.0.1/v"
    assert found.secret is not None
    assert found.secret.text == SECRET
    assert [str(each) for each in found.notify] == ["slack://…", "env:MAIL"]
    assert SECRET not in repr(found)
    assert "word" not in repr(found)


def test_spaces_separate_addresses_in_a_variable() -> None:
    found = addresses({}, {"RESILIENCE_NOTIFY": "json://a  json://b"})
    assert [each.text for each in found.notify] == ["json://a", "json://b"]


def test_all_mistakes_are_listed_without_the_secrets(tmp_path: Path) -> None:
    file = tmp_path / "two"
    file.write_text("canary\ncanary\n")
    found = problems(
        {
            "resilience_notify": ["env:MISSING", f"file:{file}", "env:https://canary"],
            "resilience_webhook": ["slack://canary", "env:SHORT"],
            "resilience_webhook_secret": "canary-in-full-on-the-line",
        },
        {"SHORT": "canary"},
    )
    assert len(found) == 6
    assert "--notify: found env:MISSING, but the environment variable MISSING is not set or empty" in found
    assert f"--notify: {file}: found 2 lines, expected one" in found
    assert "--webhook: found a value that is not shown, expected an http or https URL" in found
    assert "--webhook: found a value in env:SHORT that is not shown, expected an http or https URL" in found
    assert any(line.startswith("--webhook-secret: found a secret in full, expected env:NAME") for line in found)
    assert "canary" not in "".join(found).replace(str(tmp_path), "")


@pytest.mark.parametrize("name", ["webhook", "veto_webhook"])
def test_webhook_without_a_secret_is_refused(name: str) -> None:
    (found,) = problems({f"resilience_{name}": "http://127.0.0.1"})
    assert found == "--webhook-secret: missing, expected env:NAME or file:PATH: every webhook is signed"


def test_guessable_secret_is_refused() -> None:
    (found,) = problems(GIVEN, {"HOOK_SECRET": "short"})
    assert (
        found == "--webhook-secret: found a value in env:HOOK_SECRET that is not shown, expected at least 16 characters"
    )


def test_missing_apprise_is_one_message_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    (found,) = problems({"resilience_notify": ["json://a", "json://b"]})
    assert found.endswith("pip install 'resilience-harness[notify]'")
    assert addresses({}).notify == ()


def test_without_a_cluster_no_secret_is_read() -> None:
    assert resolve("", GIVEN.get, lambda _name: "", {}).addresses == Addresses()


@pytest.mark.parametrize("text", ["", "finish", "finished,late"])
def test_unknown_event_is_refused(text: str) -> None:
    (found,) = problems({"resilience_notify_on": text or ","})
    assert "expected some of started, aborted, finished, left-behind" in found


def test_recorded_command_has_names_but_no_secrets() -> None:
    line = ["--notify", "slack://canary", "--notify=tgram://canary/1", "--webhook=https://h.test:8443/canary?a=canary"]
    line += [
        "--veto-webhook",
        "https://me:canary@h.test/x",
        "--notify",
        "env:NAME",
        "-k",
        "slack",
        "--webhook-secret=canary",
    ]
    assert recorded_command([*line, "experiments"]) == (
        "pytest --notify slack://… --notify=tgram://… --webhook=https://h.test:8443/… --veto-webhook https://h.test/… "
        "--notify env:NAME -k slack --webhook-secret=… experiments"
    )
