"""Volume claims: which volume each is bound to, until it is deleted."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import VOLUME_CLAIMS
from harness.probes.base import Sighting, WatchProbe


class ClaimProbe(WatchProbe):
    """Series ``claims``, subject ``pvc/<name>``. ``volume`` is "" until the claim is bound."""

    series = "claims"
    resource = VOLUME_CLAIMS

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        meta = item["metadata"]
        value = {
            "event": event,
            "uid": meta.get("uid", ""),
            "volume": item.get("spec", {}).get("volumeName") or "",
            "phase": item.get("status", {}).get("phase", ""),
            "deleting": "deletionTimestamp" in meta,
        }
        yield Sighting(f"pvc/{meta['name']}", value)
