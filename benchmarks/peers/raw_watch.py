"""Stamps every event of a watch as it arrives, and understands none: ``python -m benchmarks.peers.raw_watch KUBECTL
KUBECONFIG PATH FILE``. Before all tools under test in line for a processor. Ends when its standard input does.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from harness.traffic.priority import raise_priority


def main(kubectl: str, kubeconfig: str, path: str, file: str) -> None:
    raise_priority()
    command = [kubectl, f"--kubeconfig={kubeconfig}", "get", "--raw", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watch, Path(file).open("ab", buffering=0) as kept:
        assert watch.stdout is not None

        def end() -> None:
            sys.stdin.read()
            watch.kill()

        threading.Thread(target=end, daemon=True).start()
        kept.writelines(b"%.6f %b" % (time.time(), line) for line in watch.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
