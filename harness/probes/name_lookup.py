"""Resolve a name inside a pod, with the tools in its image, since only the cluster's own DNS answer counts."""

from __future__ import annotations

import re
from ipaddress import ip_address

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import ApiError, HarnessError

# Old versions of busybox number the addresses: "Address 1: 10.0.0.1".
_ADDRESS = re.compile(r"^Address(?: \d+)?:\s*(\S+)", re.MULTILINE)
# Busybox and BIND both print NXDOMAIN; busybox before 1.28 prints "does not resolve".
_ABSENT = re.compile(r"NXDOMAIN|does not resolve|No answer|Name or service not known")
# getent(1): "One or more supplied key could not be found in the database".
_NOT_FOUND_BY_GETENT = 2


class LookupFailed(HarnessError):
    """The lookup itself failed, so it is unknown whether the name exists."""


def resolve_name(api: KubeApi, namespace: str, pod: str, name: str) -> list[str]:
    """Return the sorted addresses of ``<pod>.<service>``, resolved in a pod; empty if the name does not exist.

    The full name is used, since busybox' nslookup ignores the search list of /etc/resolv.conf. Raises LookupFailed.
    """
    try:
        full = f"{name}.{_search_domain(api, namespace, pod)}"
        result = api.exec(namespace, pod, ["nslookup", full])
    except ApiError as without_nslookup:
        try:
            # getent uses the C library's resolver, which applies the search list, so the short name is enough here.
            return _read_getent(api.exec(namespace, pod, ["getent", "ahosts", name]))
        except ApiError as error:
            raise LookupFailed(f"neither nslookup ({without_nslookup}) nor getent ({error}) works in {pod}") from error
    return read_nslookup(result.stdout + result.stderr)


def read_nslookup(printed: str) -> list[str]:
    """Return the addresses in the output of busybox' (old and new) or BIND's nslookup. Raises LookupFailed."""
    # Lines before the first name describe the name server itself.
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


def _addresses(texts: list[str]) -> list[str]:
    found = set()
    for text in texts:
        try:
            found.add(str(ip_address(text)))
        except ValueError:
            continue
    return sorted(found)


def _search_domain(api: KubeApi, namespace: str, pod: str) -> str:
    """Return ``<namespace>.svc.<cluster domain>`` from the pod's search list, with ``cluster.local`` as the default."""
    text = api.exec(namespace, pod, ["cat", "/etc/resolv.conf"]).stdout
    domains = " ".join(line.removeprefix("search ") for line in text.splitlines() if line.startswith("search ")).split()
    found = (domain for domain in domains if domain.startswith(f"{namespace}.svc."))
    return next(found, f"{namespace}.svc.cluster.local")
