"""The Chaos Toolkit's continuous hypothesis on users' way in: ``python chaos_http.py URL SECONDS``.

As often as the harness probes (its default is once a second), and with the same time-out. It reports no length; what
is taken for one is from the start of the first failed probe of the journal to the end of the first good one after the
last failed one.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from chaoslib.experiment import run_experiment  # type: ignore[import-not-found]
from chaoslib.types import Schedule, Strategy  # type: ignore[import-not-found]

EVERY, TIMEOUT = 0.01, 0.5
LOOK_EVERY, GOOD_IN_A_ROW = 0.25, 4


def wait_for_outage(url: str, seconds: float) -> bool:
    """The experiment's method: nothing but to wait until the service was down and is back."""
    deadline, down, good = time.monotonic() + seconds, False, 0
    while time.monotonic() < deadline and good < GOOD_IN_A_ROW:
        try:
            urllib.request.urlopen(url, timeout=TIMEOUT).close()  # noqa: S310 - it is http, and ours
            good += down
        except OSError:
            down, good = True, 0
        time.sleep(LOOK_EVERY)
    return down


def _instant(said: str) -> float:
    found = datetime.fromisoformat(said)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def main(url: str, seconds: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    provider = {"type": "http", "url": url, "timeout": TIMEOUT}
    waiting = {"url": url, "seconds": float(seconds)}
    method = {"type": "python", "module": Path(__file__).stem, "func": "wait_for_outage", "arguments": waiting}
    experiment = {
        "title": "recovery",
        "description": "how long users are not served",
        "steady-state-hypothesis": {
            "title": "served",
            "probes": [{"type": "probe", "name": "served", "tolerance": 200, "provider": provider}],
        },
        "method": [{"type": "action", "name": "outage", "provider": method}],
    }
    print("ready", flush=True)
    journal = run_experiment(
        experiment, strategy=Strategy.DURING_METHOD, schedule=Schedule(continuous_hypothesis_frequency=EVERY)
    )
    states = journal["steady_states"]["during"]
    failed = [index for index, state in enumerate(states) if not state["steady_state_met"]]
    outage = None
    if failed and failed[-1] + 1 < len(states):
        began, ended = (states[index]["probes"][0] for index in (failed[0], failed[-1] + 1))
        outage = {"began": _instant(began["start"]), "ended": _instant(ended["end"])}
    print(json.dumps({"user": outage}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
