"""A long load in memory: what 10⁴ to 10⁷ requests at 1,000 a second take to read, judge, store and report.

Each size is measured in a process of its own. ``held_mb`` is the growth of its memory by reading, ``peak_mb`` the
greatest growth by reading and judging. Times are of the CPU: ``judge_cpu_s`` for availability, error rate, latency and
the recovery of users together; ``look_cpu_ms`` for one look during the run, with the requests of 0.2 s as new ones,
``abortOnBreach`` and ``when: {errorRate}``. ``record_mb`` is the compressed record, ``report_mb`` the HTML report of
the experiment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.table import Row
from harness import __version__
from harness.common.errors import HarnessError
from harness.common.progress import Progress
from harness.engine.recording import load_record
from harness.experiment.load import Load
from harness.experiment.timing import Condition
from harness.model.finding import Finding
from harness.model.phase_names import PHASES
from harness.model.request_store import RequestStore
from harness.model.requests import Requests
from harness.model.timeline import Injection, Interval, LoadSummary, Phase, Timeline
from harness.objectives._share import ShareObjective
from harness.objectives.availability import Availability
from harness.objectives.base import Objective
from harness.objectives.error_rate import ErrorRate
from harness.objectives.latency import Latency
from harness.objectives.recovery_time import RecoveryTime
from harness.results.record import ExperimentRecord, PhaseRecord, RunRecord
from harness.results.reporting.chart import build_chart
from harness.results.reporting.html import render
from harness.traffic.load.driver import summarise
from harness.traffic.load.reader import RecordReader
from harness.traffic.load.wire import Request, record_line
from harness.traffic.tail import compress, compressed

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
RATE = 1000.0
# One request in so many fails, beside those of the outage.
NOISE = 9973
SHARES = (0.2, 0.3, 0.4, 0.1)
_MEGABYTE = 1e6


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises HarnessError when a size could not be measured."""
    return by_size("benchmarks.requests", "requests", options.sizes, progress)


def by_size(module: str, noun: str, sizes: Sequence[int], progress: Progress) -> list[Row]:
    """Return the row of each size, which a process of its own measures: it prints the row as JSON.

    Raises HarnessError when a size could not be measured."""
    rows: list[Row] = []
    for size in sizes:
        progress(f"{size} {noun}")
        done = subprocess.run([sys.executable, "-m", module, str(size)], check=False, capture_output=True, text=True)
        if done.returncode:
            raise HarnessError(f"{size} {noun} could not be measured:\n{done.stderr}")
        rows.append(json.loads(done.stdout))
    return rows


def measured(size: int, folder: Path) -> Row:
    """Return the row of one size; its records are written to ``folder``."""
    written, file = folder / "written", folder / "load-records.jsonl"
    write_records(written, size)
    start = memory("VmRSS")
    reader, store = RecordReader(file), RequestStore()

    def read() -> None:
        # In the steps of a run, whose records are read as they grow.
        with written.open("rb") as whole, file.open("wb") as growing:
            while part := whole.read(1 << 20):
                growing.write(part)
                growing.flush()
                reader.poll()
                store.append(reader.take_new())

    read_s = seconds(read)
    held = memory("VmRSS") - start
    timeline = timeline_of(Requests.of(store, 0.0), summarise([reader], ""))
    objectives: Sequence[Objective] = (
        Availability.model_validate({"min": "99%"}),
        ErrorRate.model_validate({"max": "1%", "kinds": ["5xx", "timeout"]}),
        Latency.model_validate({"share": "95%", "below": "200ms"}),
        RecoveryTime.model_validate({"of": "deployment/shop", "max": "10s", "clocks": ["user"]}),
    )
    findings: list[Finding] = []
    judge_s = seconds(lambda: findings.extend(objective.judge(timeline) for objective in objectives))
    peak = memory("VmHWM") - start
    look_s = looked(timeline, [one for one in objectives if isinstance(one, ShareObjective)])
    text = ""

    def report() -> None:
        nonlocal text
        text = render(run_of(timeline))

    report_s = seconds(report)
    compress_s = seconds(lambda: compress(file))
    return {
        "requests": size,
        "held_mb": round(held, 1),
        "peak_mb": round(peak, 1),
        "bytes_each": round(held * _MEGABYTE / size),
        "read_cpu_s": round(read_s, 3),
        "judge_cpu_s": round(judge_s, 3),
        "verdicts": " ".join(sorted({str(finding.verdict) for finding in findings})),
        "look_cpu_ms": round(look_s * 1000, 2),
        "report_cpu_s": round(report_s, 2),
        "report_mb": round(len(text.encode()) / _MEGABYTE, 2),
        "compress_cpu_s": round(compress_s, 2),
        "record_mb": round(compressed(file).stat().st_size / _MEGABYTE, 2),
    }


def write_records(file: Path, size: int) -> None:
    """Write the records of so many requests: an outage of a hundredth of the run, and a few other failures."""
    down = (size / RATE * SHARES[0], size / RATE * (SHARES[0] + 0.01))
    with file.open("wb") as stream:
        for number in range(size):
            due = number / RATE
            failed = down[0] <= due < down[1] or number % NOISE == 0
            # Not in the order of their starts: one in eight takes longer than the next.
            took = 0.004 + (number * 7919 % 1000) / 1e6 + (0.02 if number % 8 == 0 else 0.0)
            started = due + (number * 31 % 100) / 1e6
            outcome = ("timeout" if number % 3 else "503") if failed else "ok"
            stream.write(Request(due, started, started + took, outcome, "GET /", "").line())
        stream.write(record_line("count", size / RATE, size, 0))


def timeline_of(requests: Requests, load: LoadSummary) -> Timeline:
    """Return a timeline with these requests, with one fault at the beginning of the fault phase."""
    timeline = Timeline(0.0, 1_700_000_000.0)
    end = 0.0
    for name, share in zip(PHASES, SHARES, strict=True):
        begin, end = end, end + share * load.offered / RATE
        timeline.phases.append(Phase(name, begin, end))
    at = timeline.phases[1].start
    timeline.injections.append(Injection("podKill", (), Interval(at, at + 0.01), proven=True))
    timeline.requests, timeline.load = requests, load
    return timeline


def looked(timeline: Timeline, objectives: Sequence[ShareObjective], looks: int = 20) -> float:
    """Return the seconds of a look while the last requests arrive, the same for each look."""
    condition = Condition.model_validate({"errorRate": "5%"})
    everything, each = timeline.requests, int(RATE * 0.2)
    checks = [objective.breaches() for objective in objectives]
    due = {name: len(everything) for name in PHASES}

    def look(until: int) -> None:
        timeline.requests = everything[:until]
        for check in checks:
            check(timeline, due)
        condition.met(timeline, until / RATE)

    first = len(everything) - looks * each
    look(first)

    def all_looks() -> None:
        for number in range(looks):
            look(first + each * (number + 1))

    return seconds(all_looks) / looks


def run_of(timeline: Timeline) -> RunRecord:
    """Return the record of a run with one experiment."""
    experiment = ExperimentRecord(
        stage="closed",
        id="benchmark",
        name="benchmark",
        phases=[PhaseRecord(name=phase.name, start=phase.start, end=phase.end) for phase in timeline.phases],
        load=load_record(Load.model_validate({"rate": RATE, "target": "service/shop"}), timeline),
        chart=build_chart(timeline),
    )
    return RunRecord(run="benchmark", started="", seed=1, harness=__version__, experiments=[experiment])


def seconds(what: Callable[[], object]) -> float:
    """Return the seconds of the CPU that a call takes."""
    begun = time.process_time()
    what()
    return time.process_time() - begun


def memory(field: str) -> float:
    """Return a number of this process' memory in megabytes, as the kernel counts it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measured(int(sys.argv[1]), Path(name))))
