"""The objects that make Prometheus find the load process."""

from __future__ import annotations

import pytest

from harness.common.errors import HarnessError
from harness.traffic.load.scrape import scrape_target


def test_endpoint_slice_belongs_to_the_service_and_its_port() -> None:
    service, endpoints = scrape_target("shop", "198.18.0.1", 9123, "r1")
    assert service["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
    assert "selector" not in service["spec"]
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    assert {item["metadata"]["namespace"] for item in (service, endpoints)} == {"shop"}
    assert endpoints["ports"] == service["spec"]["ports"]
    assert endpoints["endpoints"][0]["addresses"] == ["198.18.0.1"]
    assert endpoints["addressType"] == "IPv4"


def test_an_ipv6_host_makes_an_ipv6_slice() -> None:
    assert scrape_target("shop", "fd00::1", 9123, "r1")[1]["addressType"] == "IPv6"


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.0.1", "0.0.0.0", "::1", "localhost", ""])
def test_an_address_that_no_slice_can_hold_is_refused(host: str) -> None:
    with pytest.raises(HarnessError, match="load metrics"):
        scrape_target("shop", host, 9123, "r1")
