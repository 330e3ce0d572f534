"""Names are looked up from inside a pod; "there is no such name" and "nobody could be asked" are told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import ApiError
from harness.probes.name_lookup import LookupFailed, read_nslookup, resolve_name

SERVER = "Server:\t\t198.19.0.10\nAddress:\t198.19.0.10:53\n\n"
OLD_SERVER = "Server:    198.19.0.10\nAddress 1: 198.19.0.10 kube-dns.kube-system.svc.cluster.local\n\n"
FULL = "db-1.db.shop.svc.cluster.local"
ABSENT = f"** server can't find {FULL}: NXDOMAIN\n\n"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        pytest.param(f"{SERVER}Name:\t{FULL}\nAddress: 198.18.66.16\n\n\n", ["198.18.66.16"], id="busybox"),
        pytest.param(
            f"{OLD_SERVER}Name:      {FULL}\nAddress 1: 198.18.66.16 {FULL}\n", ["198.18.66.16"], id="old busybox"
        ),
        pytest.param(
            f"Server:\t\t198.19.0.10\nAddress:\t198.19.0.10#53\n\nName:\t{FULL}\nAddress: 198.18.66.16\nName:\t{FULL}\n"
            "Address: fd00::5\n",
            ["198.18.66.16", "fd00::5"],
            id="BIND, both families",
        ),
        pytest.param(f"{SERVER}{ABSENT}{ABSENT}", [], id="no such name"),
        pytest.param(
            f"{OLD_SERVER}nslookup: can't resolve '{FULL}': Name does not resolve\n", [], id="old: no such name"
        ),
        pytest.param(
            f"{SERVER}Name:\t{FULL}\nAddress: 198.18.66.16\n\n{ABSENT}", ["198.18.66.16"], id="one family only"
        ),
    ],
)
def test_nslookup_output_is_parsed(printed: str, expected: list[str]) -> None:
    assert read_nslookup(printed) == expected


@pytest.mark.parametrize(
    ("printed", "last"),
    [
        (f"{SERVER}** server can't find {FULL}: SERVFAIL\n", "SERVFAIL"),
        (";; connection timed out; no servers could be reached\n", "no servers could be reached"),
        ("", "nothing printed"),
    ],
)
def test_failing_name_server_gives_no_result_for_the_name(printed: str, last: str) -> None:
    with pytest.raises(LookupFailed, match=last):
        read_nslookup(printed)


def asking(answers: Callable[[Sequence[str]], ExecResult]) -> tuple[FakeCluster, list[list[str]]]:
    cluster, commands = FakeCluster(), []

    def run(_namespace: str, _pod: str, _container: str | None, command: Sequence[str]) -> ExecResult:
        commands.append([*command])
        return answers(command)

    cluster.server.exec = run
    return cluster, commands


def missing(tool: str) -> ApiError:
    return ApiError(500, "ExecFailed", f'exec: "{tool}": executable file not found in $PATH')


def test_the_full_name_is_made_with_the_pods_own_search_list() -> None:
    def answers(command: Sequence[str]) -> ExecResult:
        if command[0] == "cat":
            return ExecResult("search shop.svc.example.org svc.example.org example.org\nnameserver 10.0.0.1\n", "", 0)
        return ExecResult(f"{SERVER}Name:\tx\nAddress: 198.18.66.16\n", "", 0)

    cluster, commands = asking(answers)
    assert resolve_name(cluster.api, "shop", "db-0", "db-1.db") == ["198.18.66.16"]
    assert commands[-1] == ["nslookup", "db-1.db.shop.svc.example.org"]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ExecResult("198.18.66.16    STREAM db-1.db\n198.18.66.16    DGRAM\n", "", 0), ["198.18.66.16"]),
        (ExecResult("", "", 2), []),
    ],
)
def test_getent_is_used_without_nslookup(result: ExecResult, expected: list[str]) -> None:
    def answers(command: Sequence[str]) -> ExecResult:
        if command[0] == "nslookup":
            raise missing("nslookup")
        return result if command[0] == "getent" else ExecResult("", "", 0)

    cluster, commands = asking(answers)
    assert resolve_name(cluster.api, "shop", "db-0", "db-1.db") == expected
    assert commands[-1] == ["getent", "ahosts", "db-1.db"]


def test_image_without_lookup_tools_cannot_resolve_names() -> None:
    def answers(command: Sequence[str]) -> ExecResult:
        raise missing(command[0])

    with pytest.raises(LookupFailed, match=r"neither nslookup .* nor getent .* works in db-0"):
        resolve_name(asking(answers)[0].api, "shop", "db-0", "db-1.db")
