"""Options: the command line before the environment before the ini file, and all that is wrong at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.engine.option import Option
from harness.engine.options import OPTIONS, Keep
from harness.engine.settings import Settings, resolve, without_passwords

# A good value of each option other than its default, on three levels.
VALUES = {
    "kubeconfig": ("a", "b", "c"),
    "cluster-context": ("a", "b", "c"),
    "cluster-allow": ("a", "b", "c"),
    "cluster-as": ("a", "b", "c"),
    "cluster-name": ("a", "b", "c"),
    "cluster-namespace": ("a", "b", "c"),
    "kind-image": ("a", "b", "c"),
    "cluster-nodes": ("3", "4", "5"),
    "cluster-keep": ("always", "on-failure", "always"),
    "images": ("a", "b", "c"),
    "harness-images": ("build", "published", "build"),
    "load-image": ("a.tar", "b.tar", "c.tar"),
    "prometheus-url": ("http://a", "http://b", "http://c"),
    "alertmanager-url": ("http://a", "http://b", "http://c"),
    "report-dir": ("a", "b", "c"),
    "guard": ("a", "b", "c"),
    "halt-file": ("a", "b", "c"),
    "resilience-seed": ("1", "2", "3"),
    "load-scale": ("0.5", "2", "150%"),
    "load-from": ("cluster", "machine", "cluster"),
    "runner-image": ("a", "b", "c"),
    "annotations": ("github", "none", "github"),
    "wait-for-lock": ("1", "2", "3"),
    "repeat": ("5", "6", "7"),
    "repeat-confidence": ("80%", "90%", "99%"),
    "notify-on": ("finished", "aborted", "started"),
    "veto-on-error": ("allow", "refuse", "allow"),
    "report-url": ("http://a", "http://b", "http://c"),
    "budget": ("20m", "30m", "40m"),
    "mutate": ("all", "replicas-1", "no-limits,no-requests"),
    "mutation-score": ("90", "0%", "99.5%"),
    "history": ("a", "b", "c"),
    "metrics-textfile": ("a.prom", "b.prom", "c.prom"),
    "metrics-pushgateway": ("http://a", "http://b", "http://c"),
    "otlp": ("http://a", "http://b", "http://c"),
    "traceparent": ("sampled", "unsampled", "sampled"),
    "grafana-url": ("http://a", "http://b", "http://c"),
}
# How to be let in by Prometheus: they belong together, and are covered by test_prometheus_access.
ACCESS = {f"prometheus-{name}" for name in ("token-file", "user", "password-file", "ca", "tenant", "headers-file")}
# Addresses and their secret: covered by test_addresses.
ADDRESSES = {"notify", "webhook", "webhook-secret", "veto-webhook"}
BY_NAME = {option.name: option for option in OPTIONS}


def settings_of(
    given: dict[str, str | bool | None], environ: dict[str, str], ini: dict[str, str], cluster: str = "auto"
) -> Settings:
    return resolve(cluster, given.get, lambda name: ini.get(name, ""), environ)


def test_every_option_with_a_value_is_covered_here() -> None:
    # The token belongs to its URL: see test_telemetry_options.
    known = set(VALUES) | ACCESS | ADDRESSES | {"grafana-token-file"}
    assert known == {option.name for option in OPTIONS if not option.flag}


@pytest.mark.parametrize("name", list(VALUES))
def test_precedence(name: str) -> None:
    option, (first, second, third) = BY_NAME[name], VALUES[name]
    given, environ, ini = {option.destination: first}, {option.variable: second}, {option.ini: third}
    chosen = [
        settings_of(given, environ, ini),
        settings_of({}, environ, ini),
        settings_of({}, {}, ini),
    ]
    alone = [settings_of({option.destination: value}, {}, {}) for value in (first, second, third)]
    assert chosen == alone
    assert settings_of({}, {}, {}) != alone[0]


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.flag], ids=lambda option: option.name)
def test_flags(option: Option) -> None:
    off = settings_of({}, {}, {})
    assert settings_of({}, {option.variable: "no"}, {option.ini: "true"}) == off
    on = [settings_of({option.destination: True}, {}, {}), settings_of({}, {option.variable: "1"}, {})]
    assert on == [settings_of({}, {}, {option.ini: "yes"})] * 2
    assert on[0] != off


def test_names_of_variables_and_ini_keys() -> None:
    assert BY_NAME["cluster-keep"].variable == "RESILIENCE_KEEP"
    assert BY_NAME["resilience-seed"].variable == "RESILIENCE_SEED"
    assert BY_NAME["resilience-seed"].ini == "resilience_seed"
    assert len({option.variable for option in OPTIONS}) == len({option.ini for option in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("cluster-nodes", "0"),
        ("cluster-nodes", "two"),
        ("cluster-nodes", "9" * 5000),
        ("resilience-seed", "-1"),
        ("cluster-keep", "Never"),
        ("cluster-name", "../up"),
        ("cluster-name", "-x"),
        ("cluster-strict", "perhaps"),
        ("prometheus-url", "localhost:9090"),
        ("prometheus-url", "http://"),
        ("prometheus-url", "http://a:port"),
        ("prometheus-url", "file:///etc/passwd"),
    ],
)
def test_wrong_values_name_their_option(name: str, wrong: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_of({}, {BY_NAME[name].variable: wrong}, {})
    assert [problem.field for problem in caught.value.problems] == [f"--{name}"]


def test_all_problems_are_listed_together() -> None:
    environ = {"RESILIENCE_NODES": "x", "RESILIENCE_KEEP": "x", "RESILIENCE_SEED": "x", "RESILIENCE_TWINS": "x"}
    with pytest.raises(InputError) as caught:
        settings_of({}, environ, {})
    assert len(caught.value.problems) == 4


def test_misspelt_variable_is_reported_when_a_cluster_is_needed() -> None:
    with pytest.raises(InputError, match=r"RESILIENCE_SEDE: unknown variable, expected one of .*RESILIENCE_SEED"):
        settings_of({}, {"RESILIENCE_SEDE": "5"}, {})
    # Without a cluster it may belong to whatever else is tested here.
    assert settings_of({}, {"RESILIENCE_SEDE": "5"}, {}, cluster="").seed is None


def test_the_local_clusters_own_variables_are_known() -> None:
    assert settings_of({}, {"RESILIENCE_CACHE": "/cache", "RESILIENCE_STATE": "/state"}, {}).keep is Keep.NEVER


def test_lists_and_paths() -> None:
    found = settings_of({}, {"RESILIENCE_ALLOW": " a, b ,,", "RESILIENCE_REPORT_DIR": "out"}, {})
    assert found.allowed == ("a", "b")
    assert found.report_dir == Path("out")


def test_a_password_in_a_url_is_not_kept() -> None:
    kept = without_passwords("pytest --prometheus-url=https://me:secret@prometheus.example:9090/p -k a@b")
    assert kept == "pytest --prometheus-url=https://…@prometheus.example:9090/p -k a@b"
