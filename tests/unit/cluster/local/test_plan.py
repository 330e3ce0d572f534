"""Names and addresses: everything inside the range set aside for benchmarks, nothing twice."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from harness.cluster.local.paths import ClusterPaths, check_name
from harness.cluster.local.plan import (
    API_SERVICE_ADDRESS,
    CLUSTER_CIDR,
    DNS_ADDRESS,
    MAX_WORKERS,
    SERVICE_CIDR,
    SWITCH_ADDRESS,
    Plan,
)
from harness.common.errors import InputError

BENCHMARKS = IPv4Network("198.18.0.0/15")
LONGEST_LINK_NAME = 15


@pytest.fixture
def plan() -> Plan:
    return Plan.of("shop", MAX_WORKERS)


def test_every_address_is_in_the_benchmark_range(plan: Plan) -> None:
    addresses = [SWITCH_ADDRESS, DNS_ADDRESS, API_SERVICE_ADDRESS, *(node.address for node in plan.nodes)]
    assert all(IPv4Address(address) in BENCHMARKS for address in addresses)
    assert IPv4Network(SERVICE_CIDR).subnet_of(BENCHMARKS)
    assert IPv4Network(CLUSTER_CIDR).subnet_of(BENCHMARKS)


def test_no_address_and_no_name_is_given_twice(plan: Plan) -> None:
    for attribute in ("address", "name", "role", "pod_cidr", "zone", "link"):
        values = [getattr(node, attribute) for node in plan.nodes]
        assert len(set(values)) == len(plan.nodes), attribute


def test_pod_addresses_are_in_the_pod_range_and_no_node_address(plan: Plan) -> None:
    ranges = [IPv4Network(node.pod_cidr) for node in plan.nodes]
    assert all(pods.subnet_of(IPv4Network(CLUSTER_CIDR)) for pods in ranges)
    assert not any(IPv4Address(node.address) in pods for node in plan.nodes for pods in ranges)
    assert not IPv4Network(SERVICE_CIDR).overlaps(IPv4Network(CLUSTER_CIDR))


def test_link_names_are_short_enough_for_the_kernel(plan: Plan) -> None:
    assert max(len(node.link) for node in plan.nodes) <= LONGEST_LINK_NAME


def test_plan_has_one_control_plane_and_the_requested_workers() -> None:
    plan = Plan.of("shop", 2)
    assert [node.name for node in plan.nodes] == ["shop-control-plane", "shop-worker-1", "shop-worker-2"]
    assert [node.zone for node in plan.workers] == ["zone-a", "zone-b"]


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "..", "a" * 25])
def test_names_that_cannot_be_part_of_a_node_name_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cluster name"):
        ClusterPaths.of(name)


@pytest.mark.parametrize("name", ["a", "dev", "self-test", "a" * 24])
def test_ordinary_names_are_taken(name: str) -> None:
    check_name(name)
