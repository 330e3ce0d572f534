"""The check of histories: what 10⁴ to 10⁶ operations on registers take to read, check and store.

Each size is measured in a process of its own. ``held_mb`` is the growth of its memory by reading, ``peak_mb`` the
greatest growth by reading and checking, ``record_mb`` the compressed record. Times are of the CPU. As from the clients
of a database, operations come a thousand a second to five keys at a time, which are replaced after a hundred operations
each; half of them read, a tenth compare and swap. In an outage of a hundredth of the run, the first hundred wait for
its end, and the others are unknown: half of them take effect. ``bad_cpu_s`` is the time with a stale read in each
thousand operations.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.requests import by_size, memory, seconds
from benchmarks.table import Row
from harness.common.errors import HarnessError
from harness.common.progress import Progress
from harness.histories.anomaly import AnomalyKind
from harness.histories.check import check
from harness.model.history import History, HistoryStore
from harness.model.operation import NOTHING, Operation
from harness.traffic.load.reader import RecordReader
from harness.traffic.load.wire import operation_line
from harness.traffic.tail import compress, compressed

SIZES = (10_000, 100_000, 1_000_000)
RATE = 1000.0
KEYS = 5
OPERATIONS_PER_KEY = 100
_MEGABYTE = 1e6


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises HarnessError when a size could not be measured."""
    return by_size("benchmarks.histories", "operations", options.sizes, progress)


def measured(size: int, folder: Path) -> Row:
    """Return the row of one size; its records are written to ``folder``."""
    file = folder / "load-records.jsonl"
    write_records(file, size, stale=0)
    start = memory("VmRSS")
    history = History()

    def read() -> None:
        nonlocal history
        history = read_history(file)

    read_s = seconds(read)
    held = memory("VmRSS") - start
    found: list[str] = []
    check_s = seconds(lambda: found.extend(check(history).anomalies.counts))
    peak = memory("VmHWM") - start
    if found:
        raise HarnessError(f"found {', '.join(found)} in a good history")
    compress_s = seconds(lambda: compress(file))
    record = compressed(file).stat().st_size
    write_records(file, size, stale=1000)
    bad = read_history(file)
    counts: dict[AnomalyKind, int] = {}
    bad_s = seconds(lambda: counts.update(check(bad).anomalies.counts))
    return {
        "operations": size,
        "held_mb": round(held, 1),
        "peak_mb": round(peak, 1),
        "read_cpu_s": round(read_s, 2),
        "check_cpu_s": round(check_s, 2),
        "us_each": round(check_s / size * 1e6, 1),
        "bad_cpu_s": round(bad_s, 2),
        "stale": counts.get("stale read", 0),
        "not_linearizable": counts.get("not linearizable", 0),
        "compress_cpu_s": round(compress_s, 2),
        "record_mb": round(record / _MEGABYTE, 2),
    }


def read_history(written: Path) -> History:
    """Read a record in parts, as a run does while it grows."""
    file = written.with_name("growing")
    reader, store = RecordReader(file), HistoryStore()
    with written.open("rb") as whole, file.open("wb") as growing:
        while part := whole.read(1 << 20):
            growing.write(part)
            growing.flush()
            reader.poll()
            store.append(reader.take_operations())
    return History.of(store)


def write_records(file: Path, size: int, stale: int) -> None:
    """Write the records of so many operations; with ``stale``, one of so many reads an older value."""
    with file.open("wb") as stream:
        for done in operations(size, stale):
            stream.write(operation_line(done))


def operations(size: int, stale: int) -> Iterator[Operation]:
    """Yield operations around the instants at which registers did them."""
    chance = random.Random(size)
    down, up = size / RATE * 0.5, size / RATE * 0.51
    values: dict[str, list[int]] = {}
    for number in range(size):
        now = number / RATE
        key = f"resilience/run/{number // (KEYS * OPERATIONS_PER_KEY)}-{chance.randrange(KEYS)}"
        past = values.setdefault(key, [NOTHING])
        start, end = now - chance.random() * 0.004, now + chance.random() * 0.004
        kind = chance.random()
        client = number % 20
        if down <= now < up:
            if now < down + 0.1:
                end = up + chance.random()
            elif kind >= 0.5:
                if chance.random() < 0.5:
                    past.append(number)
                yield Operation(number, start, end, "write", key, number, outcome="unknown")
                continue
        if kind < 0.5:
            old = stale and number % stale in (stale // 4, stale // 4 + 1) and len(past) > 2
            yield Operation(client, start, end, "read", key, past[-3 if old else -1])
        elif kind < 0.6:
            yield Operation(client, start, end, "cas", key, number, past[-1])
            past.append(number)
        else:
            yield Operation(client, start, end, "write", key, number)
            past.append(number)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measured(int(sys.argv[1]), Path(name))))
