"""A service in the cluster that is down when it is told to be, and tells afterwards when it really was.

The program is ``harness/cluster/local/components/calibration``; its image is ``${image:calibration}``. It reads
CLOCK_MONOTONIC, which means the same to us on the same kernel (the boot ids are compared). On another machine the
offset between the two clocks is bounded by asking for the time; where it cannot be bounded well, nothing is calibrated.

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

from harness.calibration.truth import OutageKind, Truth
from harness.clock import Clock
from harness.cluster.api import Object
from harness.cluster.protocol import Address, Cluster
from harness.cluster.services import node_port
from harness.errors import HarnessError
from harness.observation import Interval
from harness.waiting import wait_until

HTTP, CONTROL = "http", "control"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
QUESTIONS = 16
# Another machine's clock that is not known better than this would blur what is to be measured.
WORST_OFFSET = 0.005
ANSWER_SECONDS = 5.0
READY_SECONDS = 30.0
OVER_SECONDS = 30.0


class CalibrationTarget:
    """One target, dialled at its control port from this machine's own network."""

    def __init__(self, control: Address, clock: Clock) -> None:
        self._url = f"http://{control}"
        self._pool = urllib3.PoolManager(retries=False, timeout=ANSWER_SECONDS)
        self._clock = clock
        self._offset = self._compare()

    @staticmethod
    def objects(name: str, image: str) -> list[Object]:
        """Its Deployment of one replica and its NodePort Service, whose port ``http`` is the one with the outages.

        Without probes: a pod that is taken out of its Service while it is down would add the cluster's own delays.
        """
        labels = {"app": name}
        container = {
            "name": "calibration",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "args": ["--serve=:8080", "--control=:8081"],
            "ports": [{"name": HTTP, "containerPort": 8080}, {"name": CONTROL, "containerPort": 8081}],
            # Its turn must come soon: what it waits for a processor would be taken for an error of the clocks.
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
        """The target of this name, once it answers. Raises TimedOut, and HarnessError for a clock that means nothing
        here."""
        address = cluster.loopback(node_port(cluster.api, name, namespace, CONTROL))

        def look() -> tuple[CalibrationTarget | None, str]:
            try:
                return cls(address, clock), ""
            except urllib3.exceptions.HTTPError as error:
                return None, str(error)

        return wait_until(f"an answer of the calibration target {name}", look, READY_SECONDS, clock)

    def schedule(self, kind: OutageKind, seconds: float, delay: float = 0.0) -> int:
        """Have an outage ``delay`` seconds from now, or from the end of the last one that was asked for before it.

        Returns its number, for ``truth``. Raises HarnessError.
        """
        said = self._ask("POST", "/outages", {"kind": kind, "seconds": seconds, "delay": delay})
        return int(said["id"])

    def truth(self, number: int) -> Truth | None:
        """The truth of an outage; None before its end. Raises HarnessError when it did not come about."""
        said = self._ask("GET", f"/outages/{number}")
        if not said:
            return None
        if said.get("error"):
            raise HarnessError(f"calibration: the outage {number} failed: {said['error']}")
        return Truth(said["kind"], self._here(said["began"]), self._here(said["ended"]))

    def outage(self, kind: OutageKind, seconds: float) -> Truth:
        """Have an outage now, and wait for its end. Raises HarnessError, TimedOut."""
        number = self.schedule(kind, seconds)
        return wait_until(
            f"the end of the outage {number}",
            lambda: (self.truth(number), "not yet"),
            seconds + OVER_SECONDS,
            self._clock,
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.clear()

    def _here(self, bracket: dict[str, float]) -> Interval:
        return Interval(bracket["low"] + self._offset.low, bracket["high"] + self._offset.high)

    def _compare(self) -> Interval:
        """What to add to the target's clock to have ours."""
        low, high, boot = float("-inf"), float("inf"), ""
        for _ in range(QUESTIONS):
            asked = self._clock.monotonic()
            said = self._ask("GET", "/clock")
            answered = self._clock.monotonic()
            low, high = max(low, asked - said["monotonic"]), min(high, answered - said["monotonic"])
            boot = str(said.get("boot"))
        if low <= 0.0 <= high and BOOT_ID.exists() and boot == BOOT_ID.read_text(encoding="ascii").strip():
            return Interval(0.0, 0.0)
        if not 0.0 <= high - low <= WORST_OFFSET:
            raise HarnessError(
                f"calibration: the target's clock is known to {(high - low) * 1000:.1f} ms only, "
                f"expected {WORST_OFFSET * 1000:g} ms at most: nothing can be held against it"
            )
        return Interval(low, high)

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = self._pool.request(method, self._url + path, body=json.dumps(body) if body is not None else None)
        if answer.status >= 400:
            raise HarnessError(f"calibration: {method} {path} was answered {answer.status}: {answer.data[:200]!r}")
        found: dict[str, Any] = json.loads(answer.data) if answer.data else {}
        return found
