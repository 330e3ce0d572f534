"""Cuts a node off with firewall rules in its network namespace: incoming and outgoing packets are dropped silently.

Incoming packets are dropped before connection tracking, outgoing ones after all other rules, for the node and its pods
alike. Setting the link down or disconnecting the network was rejected: both lose addresses and routes. The rules carry
a mark, so that any process finds them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

MARK = "resilience-cut-off"
CHAINS = (("raw", "PREROUTING", "-i"), ("mangle", "POSTROUTING", "-o"))
IPV4, IPV6 = "iptables", "ip6tables"

# Runs a command in the network of a node and returns its output. Raises ClusterBroken.
Inside = Callable[[Sequence[str]], str]


def are_set(inside: Inside) -> bool:
    """Return whether the node is cut off."""
    return bool(_ours(inside, IPV4, *CHAINS[0][:2]))


def insert(inside: Inside, link: str, programs: Sequence[str] = (IPV4, IPV6)) -> None:
    """Drop all packets on the link in both directions. Existing rules are kept."""
    for program in programs:
        for table, chain, direction in CHAINS:
            if not _ours(inside, program, table, chain):
                match = (direction, link, "-m", "comment", "--comment", MARK, "-j", "DROP")
                # kube-proxy and network plug-ins take the same lock; without --wait a concurrent change makes the
                # command fail.
                inside([program, "--wait", "-t", table, "-I", chain, *match])


def remove(inside: Inside, programs: Sequence[str] = (IPV4, IPV6)) -> None:
    """Delete the marked rules and no others.

    In reverse order, so that the rule that ``are_set`` looks for is deleted last: if this process is killed halfway,
    the node still counts as cut off.
    """
    for program in reversed(programs):
        for table, chain, _ in reversed(CHAINS):
            for rule in _ours(inside, program, table, chain):
                inside([program, "--wait", "-t", table, "-D", *rule.split()[1:]])


def _ours(inside: Inside, program: str, table: str, chain: str) -> list[str]:
    listed = inside([program, "--wait", "-t", table, "-S", chain])
    return [line for line in listed.splitlines() if MARK in line.split()]
