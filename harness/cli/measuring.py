"""Measure a workload for ``harness new --measure``: its requests under load, and how soon a lost pod is replaced.

The measurement is an ordinary run of an experiment with the widest limits, by a separate pytest process: with the
guard, the undo journal, evidence and the check for leftovers.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from harness.cli.selection import given_cluster_options
from harness.common.errors import HarnessError, InputError, Problem
from harness.common.ini_file import ini_values
from harness.engine.settings import value_of
from harness.experiment.scaffold.compose import Composer
from harness.experiment.scaffold.draft import Commented, Draft, Limits
from harness.experiment.scaffold.faults import draft
from harness.experiment.scaffold.subject import Subject
from harness.experiment.scaffold.text import Frame
from harness.model.quantities import counted, show_seconds
from harness.results.record import ExperimentRecord
from harness.results.reporting.store import load

SECONDS = 20
# Seconds for the recovery, in addition to what the probes of the workload add: containers may have to be pulled.
LONGEST = 180
# With fewer good requests than this the load does not measure what users see.
LEAST_GOOD = 0.98
# The limits, as multiples of what was measured, and the least that they are: machines differ, and so do moments.
LATENCY, RECOVERY = 3, 2
LEAST_LATENCY, LEAST_RECOVERY = 0.1, 10
_STEP = 0.05  # seconds: latency limits are multiples of it


def measured_limits(options: argparse.Namespace, composer: Composer, frame: Frame, subject: Subject) -> Limits:
    """Deploy the workload, measure it, and return the limits. Raises HarnessError if it could not be measured."""
    drafted = _experiment(subject)
    text = composer.text(frame, subject, drafted)
    reports = _reports(frame.name)
    earlier = _records(reports)
    with composer.written(text) as file:
        code = _run(_command(options, file, reports, disruptive=drafted.disruptive))
    written = _records(reports) - earlier
    run = load(max(written)) if written else None
    record = run.experiments[0] if run and run.experiments else None
    if record is None or not record.phases:
        reason = record.reason if record else f"pytest ended with exit code {code}"
        raise HarnessError(f"the workload was not measured: {reason}")
    return limits_of(record, run.environment.context if run and run.environment else "")


def limits_of(record: ExperimentRecord, context: str) -> Limits:
    """Return the limits that follow from a measured run. Raises InputError if the load found no users' requests."""
    limits, seen = Limits(), []
    if record.load:
        samples, good, p95 = _requests(record)
        if samples and good / samples < LEAST_GOOD:
            outcomes = ", ".join(f"{count} × {outcome}" for outcome, count in record.load.outcomes.items())
            message = f"{good} of {samples} requests without a fault succeeded ({outcomes}), expected {LEAST_GOOD:.0%}"
            raise InputError([Problem(f"{message}: name a path that users request with --path", field="--path")])
        seen.append(f"{good} of {counted(samples, 'request')} succeeded")
        if samples and good < samples:
            # Twice the share that fails without a fault, and two requests in a hundred for the fault.
            limits = replace(limits, availability=math.floor((1 - 2 * (1 - good / samples) - 0.02) * 100) / 100)
        if p95 is not None:
            seen.append(f"95% of them within {show_seconds(p95)}")
            limits = replace(limits, latency=max(LEAST_LATENCY, math.ceil(p95 * LATENCY / _STEP) * _STEP))
    recovered = [clock.high for clock in record.recovery if clock.state == "recovered" and clock.high is not None]
    if recovered:
        slowest = max(recovered)
        seen.append(f"a lost pod was replaced within {show_seconds(slowest)}")
        limits = replace(limits, recovery=max(LEAST_RECOVERY, math.ceil(slowest * RECOVERY)))
    else:
        seen.append(f"no replacement of a lost pod was measured ({record.reason}), so the time to recover is a guess")
    margins = f"limits allow {LATENCY} times the latency and {RECOVERY} times the recovery"
    return replace(limits, origin=f"measured on {context or 'the cluster'}: {', '.join(seen)}; {margins}")


def _requests(record: ExperimentRecord) -> tuple[int, int, float | None]:
    """Return the number of requests of the baseline, how many were good, and their 95th percentile in seconds."""
    assert record.load is not None
    found = next((each for each in record.baseline if each.kind == "availability"), None)
    samples = (found.samples or 0) if found else record.load.achieved
    good = (found.good or 0) if found else record.load.achieved - record.load.failed
    return samples, good, record.load.latency.get("baseline", {}).get("p95")


def _experiment(subject: Subject) -> Draft:
    """Return the draft of the measuring experiment: a pod is killed, and every limit is as wide as it can be."""
    longest = LONGEST + 3 * subject.delay()
    drafted = draft("podKill", subject, Limits())
    wide: list[Commented] = [Commented({"recoveryTime": {"of": subject.name, "max": f"{longest}s"}}, "")]
    if "availability" in drafted.breaks:
        wide.append(Commented({"availability": {"min": "1%"}}, ""))
    return replace(
        drafted,
        objectives=tuple(wide),
        phases={"baseline": SECONDS, "fault": 5, "recovery": longest, "settle": 3},
        twin=None,
        disruptive=any(subject.workload.beyond_namespace()),
    )


def _command(options: argparse.Namespace, file: Path, reports: Path, *, disruptive: bool) -> list[str]:
    """Return the pytest command. The user's ini file applies, but for options that would run it otherwise."""
    plain = ["-q", "-p", "no:cacheprovider", "--override-ini=addopts=", f"--report-dir={reports}"]
    allow = ["--allow-disruptive"] if disruptive else []
    return [sys.executable, "-m", "pytest", *plain, *given_cluster_options(options), *allow, str(file)]


def _run(command: list[str]) -> int:
    """Run a command with its output on standard error, and return its exit code."""
    interrupted = False
    # Not `subprocess.run`, which kills the process soon after Ctrl-C: this one must undo its effects first.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as process:
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                # The terminal has sent it to both processes.
                interrupted = True
            else:
                break
    if interrupted:
        raise KeyboardInterrupt
    return code


def _reports(name: str) -> Path:
    """Return the folder for the reports of measurements; they are kept, since pytest prints their path."""
    below = value_of("report-dir", lambda _destination: None, ini_values(Path.cwd()), os.environ)
    return Path.cwd() / below / f"measured-{name}"


def _records(folder: Path) -> set[Path]:
    """Return the records of all runs in a folder of reports. Their paths sort by the time of the run."""
    return set(folder.glob("*/results.json"))
