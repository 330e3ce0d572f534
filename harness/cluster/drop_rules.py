"""Cutting a node off by the firewall in its own network: what comes in and goes out is lost without a word.

Dropped before connections are tracked and after everything else, for the node and its pods alike. Addresses and routes
stay, which a link that goes down or a network that is disconnected would lose. The rules carry a mark, by which any
process finds them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

MARK = "resilience-cut-off"
CHAINS = (("raw", "PREROUTING", "-i"), ("mangle", "POSTROUTING", "-o"))
IPV4, IPV6 = "iptables", "ip6tables"

# Runs a command in the network of a node and returns its output. Raises ClusterBroken.
Inside = Callable[[Sequence[str]], str]


def are_set(inside: Inside) -> bool:
    """Whether the node is cut off."""
    return bool(_ours(inside, IPV4, *CHAINS[0][:2]))


def insert(inside: Inside, link: str, programs: Sequence[str] = (IPV4, IPV6)) -> None:
    """Drop all that passes the link, both ways. Rules that are there already are left as they are."""
    for program in programs:
        for table, chain, direction in CHAINS:
            if not _ours(inside, program, table, chain):
                match = (direction, link, "-m", "comment", "--comment", MARK, "-j", "DROP")
                inside([program, "--wait", "-t", table, "-I", chain, *match])


def remove(inside: Inside, programs: Sequence[str] = (IPV4, IPV6)) -> None:
    """Take our rules out again, and no other. In reverse: the one that ``are_set`` looks for goes last, so that whoever
    is killed on the way leaves a node that still counts as cut off."""
    for program in reversed(programs):
        for table, chain, _ in reversed(CHAINS):
            for rule in _ours(inside, program, table, chain):
                inside([program, "--wait", "-t", table, "-D", *rule.split()[1:]])


def _ours(inside: Inside, program: str, table: str, chain: str) -> list[str]:
    listed = inside([program, "--wait", "-t", table, "-S", chain])
    return [line for line in listed.splitlines() if MARK in line.split()]
