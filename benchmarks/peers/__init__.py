"""Tools that measure the same outage side by side, each in a process of its own, by its own documented means.

Every program here is started before an outage, says ``ready`` when it watches, ends by itself when it thinks that the
outage is over, and its last line is JSON: {clock: {"seconds": …}} or {clock: {"began": …, "ended": …}} in Unix seconds,
or {clock: null} when it has seen none.
"""
