"""``python -m harness.prober SETTINGS RECORDS``: the prober's process, started by ``harness.prober.driver``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from harness.prober.process import run
from harness.prober.wire import Settings

if __name__ == "__main__":
    asyncio.run(run(Settings.read(Path(sys.argv[1])), Path(sys.argv[2])))
