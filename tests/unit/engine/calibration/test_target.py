"""The calibration target as it is asked: truths on our own clock, or none at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from harness.cluster.protocol import Address
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.engine.calibration import target
from harness.engine.calibration.target import CalibrationTarget
from harness.model.timeline import Interval


class Program(BaseHTTPRequestHandler):
    """Speaks as the program does; its clock is ours plus ``ahead``."""

    ahead = 0.0
    boot = "here"
    wobble = 0.0
    asked: list[dict[str, Any]] = []  # noqa: RUF012 - one server a test
    said: list[tuple[int, object]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        if self.path == "/clock":
            time.sleep(self.wobble)
            self._answer(200, {"monotonic": time.monotonic() + self.ahead, "wall": 0.0, "boot": self.boot})
            time.sleep(self.wobble)
        else:
            self._answer(*self.said.pop(0))

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(202, {"id": len(self.asked)})

    def _answer(self, status: int, said: object) -> None:
        body = b"" if said is None else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[tuple[type[Program], Address]]:
    (tmp_path / "boot_id").write_text("here\n")
    monkeypatch.setattr(target, "BOOT_ID", tmp_path / "boot_id")
    own = type("Own", (Program,), {"asked": [], "said": []})
    with HTTPServer(("127.0.0.1", 0), own) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield own, Address("127.0.0.1", server.server_port)
        server.shutdown()


TRUTH = {"kind": "pause", "began": {"low": 10.0, "high": 10.1}, "ended": {"low": 12.0, "high": 12.1}}


def test_same_kernel_truth_needs_no_correction(program: tuple[type[Program], Address]) -> None:
    own, address = program
    own.said += [(204, None), (200, TRUTH)]
    found = CalibrationTarget(address, SystemClock())
    assert found.schedule("pause", 2.0, delay=0.5) == 1
    assert own.asked == [{"kind": "pause", "seconds": 2.0, "delay": 0.5}]
    assert found.truth(1) is None
    truth = found.truth(1)
    assert truth is not None
    assert (truth.kind, truth.began, truth.ended) == ("pause", Interval(10.0, 10.1), Interval(12.0, 12.1))
    assert (truth.start, truth.seconds, truth.doubt) == pytest.approx((10.05, 2.0, 0.1))
    found.close()


def test_other_kernel_clock_is_corrected_and_its_error_kept(
    program: tuple[type[Program], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, address = program
    monkeypatch.setattr(target, "WORST_OFFSET", 1.0)
    own.ahead, own.boot = 5000.0, "elsewhere"
    own.said += [(200, TRUTH)]
    found = CalibrationTarget(address, SystemClock())
    truth = found.truth(1)
    assert truth is not None
    assert truth.began.low <= 10.0 - 5000.0
    assert truth.began.high >= 10.1 - 5000.0
    assert truth.doubt > 0.1
    assert truth.seconds == pytest.approx(2.0, abs=1e-6)


def test_a_clock_that_cannot_be_compared_is_refused(
    program: tuple[type[Program], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking takes 20 ms each way, so that the other machine's clock is known to no better than that."""
    own, address = program
    monkeypatch.setattr(target, "CLOCK_READINGS", 3)
    own.ahead, own.boot, own.wobble = 5000.0, "elsewhere", 0.02
    with pytest.raises(HarnessError, match="expected at most 5 ms"):
        CalibrationTarget(address, SystemClock())


def test_outage_that_did_not_happen_is_no_truth(program: tuple[type[Program], Address]) -> None:
    own, address = program
    own.said += [(200, {**TRUTH, "error": "the serving process did not stop"}), (404, "no such outage")]
    found = CalibrationTarget(address, SystemClock())
    with pytest.raises(HarnessError, match="did not stop"):
        found.truth(1)
    with pytest.raises(HarnessError, match="404"):
        found.truth(2)
