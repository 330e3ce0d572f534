"""The probe of volume claims, which runs only where a workload has some."""

from __future__ import annotations

from typing import Any

import pytest

from harness.probes.claims import ClaimProbe
from harness.probes.standard import standard_probes


def test_claim_has_its_volume_once_it_is_bound() -> None:
    item: dict[str, Any] = {"metadata": {"name": "data-db-0", "uid": "c"}, "spec": {}, "status": {"phase": "Pending"}}
    (first,) = ClaimProbe().see("ADDED", item)
    value = {"event": "ADDED", "uid": "c", "volume": "", "phase": "Pending", "deleting": False}
    assert (first.subject, first.value) == ("pvc/data-db-0", value)
    bound = {**item, "spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}
    bound["metadata"] = {**item["metadata"], "deletionTimestamp": "2026-11-23T07:24:00Z"}
    (second,) = ClaimProbe().see("MODIFIED", bound)
    assert second.value == {**value, "event": "MODIFIED", "volume": "pv-1", "phase": "Bound", "deleting": True}


@pytest.mark.parametrize(
    ("item", "watched"),
    [
        ({"kind": "PersistentVolumeClaim"}, True),
        ({"kind": "StatefulSet", "spec": {"volumeClaimTemplates": [{}]}}, True),
        ({"kind": "StatefulSet", "spec": {}}, False),
    ],
)
def test_claims_are_watched_only_where_there_are_some(item: dict[str, Any], watched: bool) -> None:
    assert any(isinstance(probe, ClaimProbe) for probe in standard_probes([item])) is watched
