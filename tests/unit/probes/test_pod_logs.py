"""Times of log lines, read from the pods of a workload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.kube.resources import PODS
from harness.probes.pod_logs import PodLogs
from tests.unit.probes.snapshots import Stand

PROBE = PodLogs(name="unready", of="statefulset/db", lines='"ready":false')
LINE = '2026-11-29T17:35:{:02}.250000000Z {{"path":"/","ready":{}}}\n'


class Logs(Stand):
    """The logs by pod and by instance: the current one, or the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[tuple[str, str], str] = {}
        self.queries: list[Mapping[str, str]] = []
        for name in ("db-0", "db-1"):
            self.cluster.server.pages[f"/api/v1/namespaces/shop/pods/{name}/log"] = self.page(name)
        for item in self.cluster.api.list(PODS, "shop").items:
            for reference in item["metadata"]["ownerReferences"]:
                reference["controller"] = True
            self.cluster.api.replace(PODS, item, "shop")

    def page(self, name: str) -> Any:
        def read(query: Mapping[str, str]) -> bytes:
            self.queries.append(query)
            return self.texts.get((name, query["previous"]), "").encode()

        return read

    def restarted(self, name: str, count: int) -> None:
        def restart(item: dict[str, Any]) -> dict[str, Any]:
            status = {**item["status"], "containerStatuses": [{"name": "main", "restartCount": count}]}
            return {**item, "status": status}

        self.cluster.server.store.update(PODS, "shop", name, restart, "status")


def logs(stand: Logs, probe: PodLogs = PROBE) -> dict[str, dict[str, Any]]:
    (seen,) = stand.look(probe)
    assert (seen.series, seen.subject, seen.error) == ("logs", "unready", None)
    return {log["pod"]: log for log in seen.value["pods"].values()}


def test_times_of_matching_lines_are_kept_and_no_text() -> None:
    stand = Logs()
    stand.texts["db-0", "false"] = LINE.format(1, "true") + LINE.format(2, "false")
    found = logs(stand)
    assert found["db-0"]["read"] == 2
    assert [round(at % 60, 2) for at in found["db-0"]["at"]] == [2.25]
    assert found["db-1"] == {"pod": "db-1", "read": 0, "at": [], "complete": True}
    assert {query["container"] for query in stand.queries} == {"main"}
    assert {query["timestamps"] for query in stand.queries} == {"true"}


def test_log_before_a_restart_is_read_too() -> None:
    stand = Logs()
    stand.restarted("db-0", 1)
    stand.texts = {("db-0", "true"): LINE.format(1, "false"), ("db-0", "false"): LINE.format(9, "false")}
    assert [round(at % 60) for at in logs(stand)["db-0"]["at"]] == [1, 9]


def test_after_two_restarts_a_log_is_missing() -> None:
    stand = Logs()
    stand.restarted("db-0", 2)
    assert logs(stand)["db-0"]["complete"] is False


def test_unreadable_log_is_an_error() -> None:
    stand = Logs()
    stand.cluster.server.fail_next(403, "Forbidden", path="/log")
    (seen,) = stand.look(PROBE)
    assert seen.value is None
    assert "Forbidden" in (seen.error or "")


def test_other_workloads_are_not_read() -> None:
    stand = Logs()
    assert logs(stand, PROBE.model_copy(update={"of": "deployment/db"})) == {}


def test_pattern_has_to_be_a_regular_expression() -> None:
    with pytest.raises(ValidationError, match="expected a regular expression"):
        PodLogs(name="x", of="deployment/db", lines="(")
