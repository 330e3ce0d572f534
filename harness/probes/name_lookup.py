"""Looks a name up from inside a pod, with what its image has: what counts is what the cluster's own DNS tells pods."""

from __future__ import annotations

import re
from ipaddress import ip_address

from harness.cluster.api import KubeApi
from harness.cluster.transport import ExecResult
from harness.errors import ApiError, HarnessError

_ADDRESS = re.compile(r"^Address(?: \d+)?:\s*(\S+)", re.MULTILINE)
# Busybox and BIND both say NXDOMAIN; busybox before 1.28 says "does not resolve".
_ABSENT = re.compile(r"NXDOMAIN|does not resolve|No answer|Name or service not known")
_NOT_FOUND_BY_GETENT = 2


class LookupFailed(HarnessError):
    """The name server could not be asked, which says nothing about the name."""


def look_up(api: KubeApi, namespace: str, pod: str, name: str) -> list[str]:
    """The addresses of ``<pod>.<service>`` as seen from a pod, sorted; empty when there is no such name.

    The full name is asked for: busybox' nslookup leaves the search list of /etc/resolv.conf out. Raises LookupFailed.
    """
    try:
        full = f"{name}.{_search_domain(api, namespace, pod)}"
        asked = api.exec(namespace, pod, ["nslookup", full])
    except ApiError as without_nslookup:
        try:
            return _read_getent(api.exec(namespace, pod, ["getent", "ahosts", name]))
        except ApiError as error:
            raise LookupFailed(f"neither nslookup ({without_nslookup}) nor getent ({error}) works in {pod}") from error
    return read_nslookup(asked.stdout + asked.stderr)


def read_nslookup(printed: str) -> list[str]:
    """The addresses in what nslookup of busybox (old and new) or BIND printed. Raises LookupFailed."""
    # Everything before the first name is about the name server itself.
    _, found, answer = printed.partition("Name:")
    addresses = _addresses(_ADDRESS.findall(answer)) if found else []
    if not addresses and not _ABSENT.search(printed):
        last = printed.strip().splitlines()[-1:] or ["nothing printed"]
        raise LookupFailed(f"nslookup: {last[0]}")
    return addresses


def _read_getent(result: ExecResult) -> list[str]:
    if result.exit_code not in {0, _NOT_FOUND_BY_GETENT}:
        raise LookupFailed(f"getent: exit code {result.exit_code} {result.stderr.strip()}")
    return _addresses([line.split()[0] for line in result.stdout.splitlines() if line.strip()])


def _addresses(words: list[str]) -> list[str]:
    found = set()
    for word in words:
        try:
            found.add(str(ip_address(word)))
        except ValueError:
            continue
    return sorted(found)


def _search_domain(api: KubeApi, namespace: str, pod: str) -> str:
    """``<namespace>.svc.<cluster domain>``, from the pod's own search list."""
    text = api.exec(namespace, pod, ["cat", "/etc/resolv.conf"]).stdout
    words = " ".join(line.removeprefix("search ") for line in text.splitlines() if line.startswith("search ")).split()
    return next((word for word in words if word.startswith(f"{namespace}.svc.")), f"{namespace}.svc.cluster.local")
