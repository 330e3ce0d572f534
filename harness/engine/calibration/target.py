"""A service in the cluster that makes scheduled outages and reports their true start and end afterwards.

The program is ``harness/cluster/local/components/calibration``; its image is ``${image:calibration}``. It reads
CLOCK_MONOTONIC, which is the same clock as ours if both run on the same kernel (the boot ids are compared). For another
machine the offset between the two clocks is bounded by repeated readings; if the bounds are too wide, the calibration
fails.

::

    objects = CalibrationTarget.objects("target", cluster.image("calibration"))   # apply them, wait until ready
    target = CalibrationTarget.connect(cluster, namespace, "target", clock)
    truth = target.outage("listener", 0.3)                                        # or schedule(…) and truth(number)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import urllib3

from harness.cluster.kube.client import Object
from harness.cluster.kube.services import node_port
from harness.cluster.protocol import Address, Cluster
from harness.common.clock import Clock
from harness.common.errors import HarnessError
from harness.common.waiting import wait_until
from harness.engine.calibration.truth import OutageKind, Truth
from harness.model.timeline import Interval

HTTP, CONTROL = "http", "control"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CLOCK_READINGS = 16
# Seconds. A larger uncertainty of the offset would be as large as the errors to measure.
WORST_OFFSET = 0.005
ANSWER_SECONDS = 5.0
READY_SECONDS = 30.0
OVER_SECONDS = 30.0


class CalibrationTarget:
    """A running target. ``control`` is the address of its control port, reachable from this machine."""

    def __init__(self, control: Address, clock: Clock) -> None:
        self._url = f"http://{control}"
        self._pool = urllib3.PoolManager(retries=False, timeout=ANSWER_SECONDS)
        self._clock = clock
        self._offset = self._clock_offset()

    @staticmethod
    def objects(name: str, image: str) -> list[Object]:
        """Return a Deployment of one replica and a NodePort Service, whose port ``http`` has the outages.

        The pod has no probes: removing it from the Service during an outage would add delays of the cluster.
        """
        labels = {"app": name}
        container = {
            "name": "calibration",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "args": ["--serve=:8080", "--control=:8081"],
            "ports": [{"name": HTTP, "containerPort": 8080}, {"name": CONTROL, "containerPort": 8081}],
            # A CPU request, because time spent waiting for a processor would count as an error of the clocks.
            "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        }
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        ports = [{"name": HTTP, "port": 80, "targetPort": HTTP}, {"name": CONTROL, "port": 81, "targetPort": CONTROL}]
        return [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"type": "NodePort", "selector": labels, "ports": ports},
            },
        ]

    @classmethod
    def connect(cls, cluster: Cluster, namespace: str, name: str, clock: Clock) -> CalibrationTarget:
        """Wait until the target of this name answers and return it.

        Raises TimedOut, and HarnessError if the offset of its clock cannot be bounded."""
        address = cluster.loopback(node_port(cluster.api, name, namespace, CONTROL))

        def look() -> tuple[CalibrationTarget | None, str]:
            try:
                return cls(address, clock), ""
            except urllib3.exceptions.HTTPError as error:
                return None, str(error)

        return wait_until(f"an answer from the calibration target {name}", look, READY_SECONDS, clock)

    def schedule(self, kind: OutageKind, seconds: float, delay: float = 0.0) -> int:
        """Schedule an outage ``delay`` seconds from now, or after the end of the last one scheduled before it.

        Returns its number, for ``truth``. Raises HarnessError.
        """
        answer = self._request("POST", "/outages", {"kind": kind, "seconds": seconds, "delay": delay})
        return int(answer["id"])

    def truth(self, number: int) -> Truth | None:
        """Return the true start and end of an outage; None before its end. Raises HarnessError if the outage failed."""
        answer = self._request("GET", f"/outages/{number}")
        if not answer:
            return None
        if answer.get("error"):
            raise HarnessError(f"calibration: outage {number} failed: {answer['error']}")
        return Truth(answer["kind"], self._local(answer["began"]), self._local(answer["ended"]))

    def outage(self, kind: OutageKind, seconds: float) -> Truth:
        """Start an outage now and wait for its end. Raises HarnessError, TimedOut."""
        number = self.schedule(kind, seconds)
        return wait_until(
            f"the end of outage {number}",
            lambda: (self.truth(number), "not yet"),
            seconds + OVER_SECONDS,
            self._clock,
        )

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _local(self, bracket: dict[str, float]) -> Interval:
        return Interval(bracket["low"] + self._offset.low, bracket["high"] + self._offset.high)

    def _clock_offset(self) -> Interval:
        """Return the bounds of the offset to add to the target's clock to get the clock of this machine."""
        low, high, boot = float("-inf"), float("inf"), ""
        for _ in range(CLOCK_READINGS):
            before = self._clock.monotonic()
            answer = self._request("GET", "/clock")
            after = self._clock.monotonic()
            # The target read its clock between the two local readings, so each answer bounds the offset on both sides.
            low, high = max(low, before - answer["monotonic"]), min(high, after - answer["monotonic"])
            boot = str(answer.get("boot"))
        if low <= 0.0 <= high and BOOT_ID.exists() and boot == BOOT_ID.read_text(encoding="ascii").strip():
            return Interval(0.0, 0.0)
        if not 0.0 <= high - low <= WORST_OFFSET:
            raise HarnessError(
                f"calibration: the offset of the target's clock is uncertain by {(high - low) * 1000:.1f} ms, "
                f"expected at most {WORST_OFFSET * 1000:g} ms"
            )
        return Interval(low, high)

    def _request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = self._pool.request(method, self._url + path, body=json.dumps(body) if body is not None else None)
        if answer.status >= 400:
            raise HarnessError(f"calibration: {method} {path} returned status {answer.status}: {answer.data[:200]!r}")
        found: dict[str, Any] = json.loads(answer.data) if answer.data else {}
        return found
