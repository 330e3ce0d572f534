"""The fields for TLS and authorization: what is refused, and that no secret is shown or stored."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.traffic.target.credentials import Stored, TargetAuth
from harness.traffic.target.declaration import Target
from harness.traffic.target.endpoint import Access


def target(**fields: Any) -> Target:
    return Target.model_validate({"service": "shop:https", **fields})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tls": {}}, "found tls without a name, expected host or tls.serverName"),
        ({"tls": {"serverName": "a", "key": "k.pem"}}, "found key without certificate, expected both or neither"),
        ({"tls": {"serverName": "a", "certificate": "c.pem"}}, "found certificate without key"),
        ({"tls": {"ca": "ca.pem", "insecure": True}}, "expected one of them: with insecure the ca is not used"),
        ({"tls": {"insecure": "yes"}}, "valid boolean"),
        ({"host": "Shop.Test"}, "expected a host name in lower case"),
        ({"host": "shop.test/x"}, "expected a host name in lower case"),
        ({"auth": {}}, "expected exactly one of basic, bearer"),
        ({"auth": {"bearer": "configmap/a:b"}}, "expected the name of a secret"),
        ({"auth": {"basic": {"username": "a:b", "password": "${env:P}"}}}, "username"),
    ],
)
def test_mistakes_show_what_was_expected(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        target(**fields)


@pytest.mark.parametrize("auth", [{"bearer": "hunter2"}, {"basic": {"username": "me", "password": "hunter2"}}])
def test_literal_secret_is_refused_without_being_shown(auth: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        target(auth=auth)
    (problem,) = caught.value.errors()
    assert "${env:NAME} or secret/NAME:KEY" in problem["msg"]
    assert "hunter2" not in problem["msg"]


def test_named_secrets_are_listed() -> None:
    given = target(
        host="shop.test",
        tls={"ca": "configmap/trust:ca.crt", "certificate": "client.pem", "key": "secret/client:tls.key"},
        auth={"basic": {"username": "me", "password": "${env:PASSWORD}"}},
    )
    assert list(given.stored()) == [Stored("configmap", "trust", "ca.crt"), Stored("secret", "client", "tls.key")]
    assert list(given.variables()) == ["PASSWORD"]
    assert TargetAuth.model_validate({"bearer": "secret/a.b:c_d"}).scheme == "Bearer"


@pytest.mark.parametrize(
    ("given", "sent"),
    [("/", "/api"), ("/cart", "/api/cart"), ("/?page=2", "/api?page=2"), ("/a/", "/api/a/")],
)
def test_prefix_goes_before_every_path(given: str, sent: str) -> None:
    assert Access(prefix="/api").path(given) == sent
    assert Access().path(given) == given
