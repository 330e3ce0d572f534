"""Brief failures at the end of an outage, after users were served again. Their cause may be the fault or the machine.

If the target or the client has to wait 50 ms for a CPU, a few connections fail; the same happens if the last proxy is
late to update its route to a new pod. Requests alone cannot show the cause. So the likely end of the outage stays after
such failures, which is the safe choice, but its low bound is moved to before them.

Failures are brief if together they last at most ``BRIEF`` seconds. Good requests between two failures count as bad time
unless they are a recovery (enough of them in a row), so a service that continues to fail a third of all requests is
down in spite of the good requests in between.
"""

from __future__ import annotations

import numpy as np

from harness.objectives.recovery.sent import Sent

# On a busy machine, healthy targets missed connections for 10 to 170 ms, several at the same instants.
BRIEF = 0.5


def back_at_least_since(sent: Sent, last: float, in_a_row: int) -> float:
    """Return the start of the last failure that is not one of the brief failures at the end of an outage.

    ``last`` is the start of the outage's last failure, and ``in_a_row``
    is the number of good requests in a row that are a recovery. Returns ``last`` if there are no good requests between
    the last failures.
    """
    failed = sent.failed
    failed = failed[: np.searchsorted(sent.started[failed], last, side="right")]
    since, bad = last, 0.0
    for earlier, later in zip(reversed(failed[:-1]), reversed(failed[1:]), strict=True):
        good = later - earlier - 1
        if good < in_a_row:
            bad += float(sent.started[later] - sent.started[earlier])
        if bad > BRIEF:
            break
        if good:
            since = float(sent.started[earlier])
        if good >= in_a_row:
            # A failure lasts at least until the next request.
            bad += float(sent.started[earlier + 1] - sent.started[earlier])
    return since
