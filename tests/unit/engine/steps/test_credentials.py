"""What targets name is read when a process starts; secrets only reach its environment."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock
from harness.common.errors import Inconclusive, InputError
from harness.engine.preflight.permissions import needed_for
from harness.engine.steps.credentials import Credentials, check_secrets
from harness.traffic.target.credentials import TargetAuth, TargetTls
from tests.fake_run import EXPERIMENT, Stage
from tests.integration.secure_server import Authority

AUTHORITY = Authority()
CLIENT = AUTHORITY.issue("load.test")


def encoded(**values: str) -> dict[str, Any]:
    data = {key.replace("_", "."): b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "client"}, "data": data}


def credentials(
    *objects: dict[str, Any], folder: Path = Path(), meanwhile: Callable[[FakeCluster], None] = lambda _: None
) -> Credentials:
    cluster = FakeCluster(FakeClock())
    cluster.server.seed(*objects, namespace="ns")
    return Credentials(
        cluster.api,
        "ns",
        folder,
        clock=FakeClock(),
        seconds=30,
        meanwhile=lambda: meanwhile(cluster),
        environ={"TOKEN": "t0ken\n"},
    )


def test_private_key_is_only_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(AUTHORITY.pem)
    found = credentials(encoded(tls_crt=CLIENT.certificate, tls_key=CLIENT.key), folder=tmp_path)
    declared = {"ca": "ca.pem", "certificate": "secret/client:tls.crt", "key": "secret/client:tls.key"}
    tls = found.tls(TargetTls.model_validate(declared), "shop.test")
    assert (tls.server_name, tls.ca, tls.certificate) == ("shop.test", AUTHORITY.pem, CLIENT.certificate)
    assert tls.key == "${env:HARNESS_TARGET_1}"
    assert found.secrets == {"HARNESS_TARGET_1": CLIENT.key}


def test_authority_may_be_in_a_config_map() -> None:
    trust = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust"}, "data": {"ca": AUTHORITY.pem}}
    assert credentials(trust).tls(TargetTls(ca="configmap/trust:ca"), "a").ca == AUTHORITY.pem


def test_authorization_is_a_reference() -> None:
    found = credentials(encoded(password="pa:ss"))
    bearer = found.authorization(TargetAuth.model_validate({"bearer": "${env:TOKEN}"}))
    basic = found.authorization(
        TargetAuth.model_validate({"basic": {"username": "me", "password": "secret/client:password"}})
    )
    assert (bearer, basic) == ("${env:HARNESS_TARGET_1}", "${env:HARNESS_TARGET_2}")
    assert list(found.secrets.values()) == ["Bearer t0ken", f"Basic {b64encode(b'me:pa:ss').decode()}"]


def test_secret_that_a_controller_creates_is_waited_for() -> None:
    calls: list[int] = []

    def create(cluster: FakeCluster) -> None:
        calls.append(1)
        if len(calls) == 5:
            cluster.server.seed(encoded(token="late"), namespace="ns")

    found = credentials(meanwhile=create)
    found.authorization(TargetAuth(bearer="secret/client:token"))
    assert found.secrets == {"HARNESS_TARGET_1": "Bearer late"}


@pytest.mark.parametrize(
    ("bearer", "objects", "told"),
    [
        ("secret/client:token", [], "the Secret client of a target: not within 30 s; last seen: it does not exist"),
        ("secret/client:token", [encoded(other="1")], "last seen: it has no key token"),
        ("secret/client:token", [encoded(token="a\nb")], "has characters that a header must not have"),
    ],
    ids=["missing", "no-key", "two-lines"],
)
def test_unusable_secret_is_inconclusive(bearer: str, objects: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(Inconclusive, match=told) as caught:
        credentials(*objects).authorization(TargetAuth(bearer=bearer))
    assert "a\nb" not in str(caught.value)


def secured(stage: Stage) -> Any:
    load = "load: {rate: 5/s, target: {service: shop, auth: {bearer: '${env:SHOP_TOKEN_UNSET}'}}}\n"
    prober = "prober: [{http: {target: {service: shop, auth: {bearer: secret/login:token}}}}]\n"
    return stage.experiment(EXPERIMENT.replace("faults:", f"{load}{prober}faults:", 1))


def test_missing_variable_ends_the_run_before_it_starts(tmp_path: Path) -> None:
    experiment = secured(Stage(tmp_path))
    with pytest.raises(InputError) as caught:
        check_secrets(experiment, {})
    message = "load.target: the environment variable SHOP_TOKEN_UNSET is not set"
    assert [str(problem) for problem in caught.value.problems] == [f"{experiment.file}: {message}"]


def test_only_the_named_secret_is_permitted(tmp_path: Path) -> None:
    found = {str(each) for each in needed_for(secured(Stage(tmp_path))) if "secrets" in each.resource}
    assert found == {"get secrets login in the experiment's namespace"}
