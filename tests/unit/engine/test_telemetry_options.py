"""Where metrics, traces and annotations go: what is wrong with it is found before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.engine import telemetry_options
from harness.engine.settings import Settings, resolve
from harness.engine.telemetry_options import GRAFANA_TOKEN, Telemetry


def settings(environ: dict[str, str] | None = None, **given: str) -> Settings:
    options = {f"resilience_{name}": value for name, value in given.items()}
    return resolve("auto", options.get, lambda _name: "", environ or {})


def problems(environ: dict[str, str] | None = None, **given: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        settings(environ, **given)
    return [f"{problem.field} {problem.message}" for problem in caught.value.problems]


def test_nothing_is_sent_by_default() -> None:
    assert settings().telemetry == Telemetry()
    assert not settings().telemetry.wanted


@pytest.mark.parametrize(
    ("given", "traced"),
    [
        ({}, "off"),
        ({"otlp": "http://a"}, "sampled"),
        ({"otlp": "http://a", "traceparent": "off"}, "off"),
        ({"traceparent": "unsampled"}, "unsampled"),
    ],
)
def test_requests_are_traced_with_otlp_or_on_request(given: dict[str, str], traced: str) -> None:
    assert settings(**given).telemetry.traced == traced


def test_textfile_must_be_one_that_the_collector_reads(tmp_path: Path) -> None:
    (found,) = problems(metrics_textfile=str(tmp_path / "metrics.txt"))
    assert "expected a name that ends in .prom" in found
    (found,) = problems(metrics_textfile=str(tmp_path / "missing" / "a.prom"))
    assert "expected a file in an existing folder" in found
    (tmp_path / "folder.prom").mkdir()
    assert "found the folder" in problems(metrics_textfile=str(tmp_path / "folder.prom"))[0]


def test_token_needs_a_grafana_and_one_source(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("glsa_x")
    assert problems({GRAFANA_TOKEN: "glsa_x"}) == ["--grafana-url missing, but a token for Grafana was given"]
    found = problems({GRAFANA_TOKEN: "glsa_x"}, grafana_url="http://a", grafana_token_file=str(token))
    assert found == [f"--grafana-token-file found both this option and {GRAFANA_TOKEN}, expected one"]
    (found,) = problems(grafana_url="http://a", grafana_token_file=str(tmp_path / "none"))
    assert "expected an existing file that can be read" in found


def test_missing_extra_is_reported_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_options, "_has_otel", lambda: False)
    assert "pip install 'resilience-harness[otel]'" in problems(otlp="http://a")[0]


def test_secrets_are_not_in_the_repr() -> None:
    url = "http://me:s3cret@a"
    shown = repr(settings({GRAFANA_TOKEN: "s3cret"}, metrics_pushgateway=url, otlp=url, grafana_url=url))
    assert "s3cret" not in shown
