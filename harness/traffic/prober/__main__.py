"""``python -m harness.traffic.prober SETTINGS RECORDS``: the prober's process, which ``driver`` starts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from harness.traffic.prober.process import run
from harness.traffic.prober.wire import Settings

if __name__ == "__main__":
    asyncio.run(run(Settings.read(Path(sys.argv[1])), Path(sys.argv[2])))
