"""Which hosts outside of the cluster the guard lets load and probes go to, and to which of their addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.common.errors import InputError
from harness.safety.guard.hosts import Host, host_refusal, stricter_hosts
from harness.safety.guard.policy import Policy, load_guard


def listed(*entries: Any) -> list[Host]:
    return Policy.model_validate({"hosts": list(entries)}).hosts


def test_no_host_is_allowed_by_default() -> None:
    assert "shop.test is not on the guard's list of hosts" in host_refusal(Policy().hosts, "shop.test", ["127.0.0.1"])
    assert "x.shop.test is not on" in host_refusal(listed("shop.test"), "x.shop.test")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "192.168.1.1", "100.64.0.1"])
def test_listed_host_may_have_private_addresses(address: str) -> None:
    assert host_refusal(listed("shop.test"), "shop.test", [address]) == ""


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_public_address_needs_to_be_permitted(address: str) -> None:
    assert f"resolves to {address}, which is not a private" in host_refusal(listed("shop.test"), "shop.test", [address])
    # One of several is enough.
    assert host_refusal(listed("shop.test"), "shop.test", ["10.0.0.1", address])
    assert host_refusal(listed({"name": "shop.test", "public": True}), "shop.test", [address]) == ""


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "0.0.0.0", "224.0.0.1"])
def test_special_addresses_need_to_be_listed(address: str) -> None:
    assert host_refusal(listed({"name": "shop.test", "public": True}), "shop.test", [address])
    exact = {"name": "shop.test", "addresses": [address.partition("%")[0]]}
    assert host_refusal(listed(exact), "shop.test", [address]) == ""


def test_listed_addresses_are_the_only_ones() -> None:
    hosts = listed({"name": "shop.test", "addresses": ["203.0.113.0/24", "2001:db8::/32"]})
    assert host_refusal(hosts, "shop.test", ["203.0.113.9", "2001:db8::1"]) == ""
    told = host_refusal(hosts, "shop.test", ["203.0.113.9", "10.0.0.1"])
    assert told == "the host shop.test resolves to 10.0.0.1, but the guard allows 203.0.113.0/24, 2001:db8::/32"


def test_two_guard_files_allow_only_what_both_allow() -> None:
    one = listed("a.test", {"name": "b.test", "public": True}, {"name": "c.test", "addresses": ["10.0.0.0/8"]})
    other = listed(
        {"name": "a.test", "public": True},
        {"name": "b.test", "addresses": ["8.8.8.0/24", "10.0.0.0/8"]},
        {"name": "c.test", "addresses": ["10.1.0.0/16", "192.168.0.0/16"]},
        "d.test",
    )
    both = {host.name: (host.addresses, host.public) for host in stricter_hosts(one, other)}
    assert both == {
        "a.test": ([], False),
        "b.test": (["8.8.8.0/24", "10.0.0.0/8"], False),
        "c.test": (["10.1.0.0/16"], False),
    }
    assert stricter_hosts(listed("b.test"), other)[0].addresses == ["10.0.0.0/8"]
    assert stricter_hosts(listed({"name": "c.test", "addresses": ["8.8.8.8"]}), other) == []


def test_mistakes_in_the_guard_file_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "resilience-guard.yaml"
    file.write_text("hosts: [Shop.test, {name: a.test, addresses: [10.0.0.300]}, {name: b.test, publik: true}]\n")
    with pytest.raises(InputError) as caught:
        load_guard(file)
    assert [problem.field for problem in caught.value.problems] == [
        *("hosts[0].name", "hosts[1].addresses[0]", "hosts[2].publik")
    ]


def test_public_is_not_a_text() -> None:
    with pytest.raises(ValidationError):
        listed({"name": "a.test", "public": "yes"})


def test_special_address_cannot_hide_in_an_ipv6_address() -> None:
    assert host_refusal(listed({"name": "shop.test", "public": True}), "shop.test", ["::ffff:169.254.169.254"])
    exact = listed({"name": "shop.test", "addresses": ["10.0.0.0/8"]})
    assert host_refusal(exact, "shop.test", ["::ffff:10.0.0.1"]) == ""
