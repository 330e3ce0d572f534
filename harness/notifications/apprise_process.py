"""Sends one notification by apprise, in a process of its own: ``python -m harness.notifications.apprise_process``.

A separate process can be ended when it hangs, writes no URLs to the logs of the tests, and takes no time from the
threads that measure. URLs come by standard input, since other users can read command lines.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


def main() -> None:
    """Read a task as JSON from standard input and print, as JSON, whether each URL is valid or was notified."""
    task = json.load(sys.stdin)
    # Its messages contain parts of the URLs.
    logging.disable(logging.CRITICAL)
    print(json.dumps([_done(url, task.get("message")) for url in task["urls"]]))


def _done(url: str, message: dict[str, str] | None) -> bool:
    import apprise  # noqa: PLC0415 - an optional dependency

    sender: Any = apprise.Apprise()
    if not sender.add(url):
        return False
    if message is None:
        return True
    kind = TYPES[message["urgency"]]
    return bool(sender.notify(title=message["title"], body=message["text"] or message["title"], notify_type=kind))


if __name__ == "__main__":
    main()
