"""Send a finished run to every place that was chosen, within a time limit; a failure is a warning and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial

from harness.common.clock import Clock
from harness.common.errors import HarnessError
from harness.engine.telemetry_options import Telemetry
from harness.results.record import RunRecord
from harness.telemetry.grafana import Grafana
from harness.telemetry.metrics import samples
from harness.telemetry.pushgateway import Pushgateway
from harness.telemetry.textfile import write_textfile

# The time limit for all places together, which are served at the same time.
SECONDS = 30.0


def destinations(run: RunRecord, chosen: Telemetry, clock: Clock) -> dict[str, Callable[[], None]]:
    """Return what is to be done for each chosen place, by its name in warnings."""
    found: dict[str, Callable[[], None]] = {}
    values = samples(run)
    if chosen.textfile:
        found["metrics textfile"] = partial(write_textfile, chosen.textfile, values)
    if chosen.pushgateway:
        found["Pushgateway"] = partial(Pushgateway(chosen.pushgateway).push, values)
    if chosen.otlp:
        found["OpenTelemetry"] = partial(_otlp, chosen.otlp, run)
    if chosen.grafana:
        found["Grafana"] = partial(Grafana.of(chosen, clock).annotate, run)
    return found


def sent(places: Mapping[str, Callable[[], None]], clock: Clock, seconds: float = SECONDS) -> list[str]:
    """Do all of it at the same time; return a warning for each that failed or did not end within ``seconds``."""
    failed: dict[str, str] = {}

    def attempt(name: str, send: Callable[[], None]) -> None:
        try:
            send()
        except (HarnessError, OSError, ValueError) as error:
            failed[name] = str(error)
        except Exception as error:  # noqa: BLE001 - a bug in a library must not change the verdict
            failed[name] = f"{type(error).__name__}: {error}"

    # Threads, since the time limits of HTTP libraries are for one read and not for the whole exchange. They are
    # daemons: one that hangs does not keep the process.
    threads = {
        name: threading.Thread(target=attempt, args=(name, send), name=f"send to {name}", daemon=True)
        for name, send in places.items()
    }
    for thread in threads.values():
        thread.start()
    end = clock.monotonic() + seconds
    for thread in threads.values():
        thread.join(max(0.0, end - clock.monotonic()))
    late = [name for name, thread in threads.items() if thread.is_alive()]
    return [f"{name}: {why}" for name, why in failed.items()] + [
        f"{name}: did not end within {seconds:g} s" for name in late if name not in failed
    ]


def _otlp(url: str, run: RunRecord) -> None:
    # Imported late: an optional dependency.
    from harness.telemetry.otlp import send  # noqa: PLC0415

    send(url, run)
