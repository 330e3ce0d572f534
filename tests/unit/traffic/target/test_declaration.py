"""What an experiment may write as a target."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.traffic.target.declaration import Target


@pytest.mark.parametrize("given", ["service/shop:http", {"service": "shop:http"}])
def test_text_and_object_are_the_same_target(given: object) -> None:
    target = Target.model_validate(given)
    assert (target.name, target.port, str(target)) == ("shop", "http", "service/shop:http")
    assert Target.model_validate(target) == target


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        ("ingress/shop", "ingress", "shop"),
        ("httproute/shop.v1", "httproute", "shop.v1"),
        ({"httpRoute": "shop", "host": "a.test", "path": "/x", "via": "service/edge/gw:http"}, "httproute", "shop"),
        ("https://shop.test/api", "url", "shop.test"),
        ("http://[::1]:8080/", "url", "::1"),
    ],
)
def test_objects_and_urls_are_targets(given: object, kind: str, name: str) -> None:
    target = Target.model_validate(given)
    assert (target.kind, target.name) == (kind, name)


def test_url_and_via_have_parts() -> None:
    assert Target(url="https://shop.test/api/").address == ("shop.test", 443, "/api")
    assert Target(url="http://10.0.0.1:8080").address == ("10.0.0.1", 8080, "")
    assert Target(ingress="a", via="service/edge/gw:http").through == ("edge", "gw", "http")
    assert Target(ingress="a", via="service/gw").through == ("", "gw", "")


def test_target_without_port_means_the_first() -> None:
    assert Target.model_validate("service/shop").port == ""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("shop", "expected service/NAME"),
        ("service/Shop", "expected service/NAME"),
        ({"service": "service/shop"}, "expected NAME or NAME:PORT"),
        (7, "found 7, expected service/NAME"),
        ({"servce": "shop"}, "servce"),
        ({}, "found none, expected exactly one of service, ingress, httpRoute, url"),
        ({"service": "a", "url": "http://a.test"}, "found service and url, expected exactly one"),
        ({"service": "a", "via": "service/b"}, "found via with service, expected ingress or httpRoute"),
        ({"ingress": "a", "via": "edge/gw"}, "expected service/NAME"),
        ({"ingress": "a", "path": "x"}, "expected a path such as /cart"),
        ({"url": "http://a.test", "tls": {}}, "found tls with an http URL, expected https"),
        ("https://me:s3cret@shop.test/", "found a URL with credentials, expected them in auth"),
        ({"url": "https://me:s3cret@shop.test/"}, "found a URL with credentials, expected them in auth"),
        ("https://shop.test/?q=1", "expected service/NAME"),
        ("ftp://shop.test/", "expected service/NAME"),
        ("https://Shop.test/", "expected a lower-case host"),
        ("https://shop.test:99999/", "Port out of range"),
        ("https://shop_test/", "is not a host name"),
        ("https:///x", "is not a host name"),
    ],
)
def test_mistakes_show_what_was_expected(given: object, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Target.model_validate(given)


@pytest.mark.parametrize(
    "tls",
    [
        {"ca": ""},
        {"certificate": "", "key": ""},
        {"serverName": ""},
        {"serverName": "a\0b"},
        {"serverName": "shop.test:443"},
        {"serverName": "Größe.test"},
        {"serverName": "a" * 64 + ".test"},
        {"serverName": ".".join(["a" * 60] * 5)},
    ],
)
def test_tls_field_that_would_be_ignored_is_refused(tls: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"expected|at least 1 character"):
        Target.model_validate({"service": "shop", "host": "shop.test", "tls": tls})


@pytest.mark.parametrize("name", ["shop.test", "10.0.0.1", "fd00::1", "a" * 63])
def test_server_name_is_a_host_or_an_address(name: str) -> None:
    assert Target.model_validate({"service": "shop", "tls": {"serverName": name}}).server_name() == name


@pytest.mark.parametrize("host", ["a" * 64, ".".join(["a" * 60] * 5)])
def test_host_longer_than_dns_allows_is_refused(host: str) -> None:
    for target in ({"service": "shop", "host": host}, {"url": f"https://{host}/"}):
        with pytest.raises(ValidationError, match=r"expected|host name"):
            Target.model_validate(target)
