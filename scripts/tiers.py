"""The test tiers behind ``scripts/test``: each is a list of phases, and the closing line counts all of them.

``fast`` needs no cluster. ``core``, the default and what CI runs, adds live tests and a part of the catalogue. ``all``
runs everything. Further arguments go to every pytest of the tier.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from harness.results.reporting.junit import SUITE as OBJECTIVES

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "tests"
NO_TESTS = 5
INTERRUPTED = 130
TIERS = ("fast", "core", "all")
DEFAULT = "core"
OUTCOMES = {"failed": "failures", "errors": "errors", "skipped": "skipped"}
# Generated cases are the same in every run of a change, so that none fails by luck; the widest tier draws new ones.
HYPOTHESIS = {"fast": {}, "core": {}, "all": {"HYPOTHESIS_PROFILE": "drawn"}}
LINT = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports", "--no-logo", "--no-cache"),
)
# Unit tests use a whole processor each; one more worker than processors hides what they wait for.
UNIT_WORKERS = (os.cpu_count() or 2) + 1
# Experiments mostly wait for their phases to pass, but twice as many of them as processors were too many for a slow
# machine: in one run 5 % of the requests of a healthy service took more than 200 ms.
EXPERIMENT_WORKERS = min(8, os.cpu_count() or 2)
# Disruptive experiments need a cluster each. Two of them have 78 of the 128 inotify instances of a machine.
DISRUPTIVE_CLUSTERS = 2
ON_SESSION = ("tests/live/test_python_experiment.py", "tests/live/test_load_from_cluster.py")
# Experiment files that a test runs on a cluster with the images for them.
OF_TESTS = "tests/live/published"
# Live tests boot clusters of their own, one for each file.
LIVE_WORKERS = os.cpu_count() or 2


@dataclass(frozen=True, slots=True)
class Phase:
    """One run of pytest: a name and its arguments. ``may_be_empty`` if it may have no tests."""

    name: str
    arguments: tuple[str, ...]
    may_be_empty: bool = False


UNIT = Phase("unit", ("-n", str(UNIT_WORKERS), "tests/unit", "tests/contract", "tests/plugin"))


def phases(tier: str) -> tuple[tuple[Phase, ...], ...]:
    """Return the phases of a tier in order; those of one group run at the same time."""
    if tier == "fast":
        return ((UNIT,),)
    catalogue = ("--cluster=local", "--calibrate", "--twins", f"--tier={tier}")
    marked = "not kind and not kill_matrix" if tier == "all" else "not kind and not kill_matrix and not slow"
    # The session's cluster is for experiments and for the live tests that use it. The other live tests make
    # clusters of their own: not beside it, because a machine has 128 inotify instances, and a node needs 13.
    shared = (
        *catalogue,
        "-m",
        f"not disruptive and {marked}",
        "-n",
        str(EXPERIMENT_WORKERS),
        "experiments",
        *ON_SESSION,
    )
    alone = (*catalogue, "--allow-disruptive", "-m", "disruptive", "experiments")
    disruptive = [
        Phase(
            f"disruptive-{part}",
            (*alone, f"--part={part}/{DISRUPTIVE_CLUSTERS}", f"--cluster-name=disruptive-{part}"),
            may_be_empty=part > 1,
        )
        for part in range(1, DISRUPTIVE_CLUSTERS + 1)
    ]
    apart = [f"--ignore={path}" for path in (*ON_SESSION, OF_TESTS)]
    live = ("-m", marked, "--dist=loadfile", "-n", str(LIVE_WORKERS), *apart, "tests/live")
    found = [
        (UNIT,),
        (Phase("experiments", shared),),
        # One experiment at a time mostly waits, and the load generator's tests need no cluster.
        (*disruptive, Phase("integration", ("tests/integration",))),
        (Phase("live", live),),
        (Phase("kind", ("-m", "kind", "tests/live")),),
    ]
    if tier == "all":
        found.append((Phase("kills", ("-m", "kill_matrix", "tests/live")),))
    return tuple(found)


def lint() -> list[str]:
    """Run the linters. Returns the commands that failed."""
    failed = []
    for command in LINT:
        done = subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]], check=False, cwd=ROOT)
        if done.returncode != 0:
            failed.append(" ".join(command))
    return failed


def counted(file: Path) -> Counter[str]:
    """Count the tests of a phase by outcome, from its JUnit file. Empty if pytest ended before it wrote one."""
    found: Counter[str] = Counter()
    if not file.exists():
        return found
    for suite in ElementTree.parse(file).getroot().iter("testsuite"):  # noqa: S314 - pytest wrote it a moment ago
        if suite.get("name") == OBJECTIVES:
            continue
        bad = {key: int(suite.get(name, 0)) for key, name in OUTCOMES.items()}
        found.update(bad)
        found["passed"] += int(suite.get("tests", 0)) - sum(bad.values())
    return found


def closing(total: Counter[str], seconds: float) -> str:
    """Return one closing line for all phases, as pytest writes it."""
    parts = [f"{total[key]} {key}" for key in ("failed", "passed", "skipped", "errors") if total[key]]
    return f" {', '.join(parts) or 'no tests ran'} in {seconds:.2f}s ".center(80, "=")


@dataclass
class Run:
    """A started phase. One that runs beside another writes to a file, which is printed at its end."""

    phase: Phase
    process: subprocess.Popen[bytes]
    started: float
    results: Path
    output: Path | None

    @classmethod
    def start(cls, phase: Phase, rest: Sequence[str], variables: Mapping[str, str], *, aside: bool) -> Run:
        """Start the phase; with ``aside`` its output goes to a file."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        results, output = RESULTS / f"{phase.name}.xml", RESULTS / f"{phase.name}.log" if aside else None
        results.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", f"--junitxml={results}", *phase.arguments, *rest]
        with output.open("wb") if output else nullcontext() as stream:
            process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=stream, stderr=stream)
        return cls(phase, process, time.monotonic(), results, output)

    def finish(self) -> float:
        """Wait for the end and print the output that is not printed yet. Returns the seconds that the phase took."""
        self.process.wait()
        seconds = time.monotonic() - self.started
        if self.output:
            print(f"== {self.phase.name}", flush=True)
            sys.stdout.buffer.write(self.output.read_bytes())
            sys.stdout.flush()
        return seconds


def main(arguments: Sequence[str]) -> int:
    """Run a tier. Returns 0 if everything passed, else 1."""
    tier = arguments[0] if arguments and arguments[0] in TIERS else DEFAULT
    rest = list(arguments[1:] if arguments and arguments[0] in TIERS else arguments)
    started = time.monotonic()
    print(f"== lint (tier {tier})", flush=True)
    failed = lint()
    times = {"lint": time.monotonic() - started}
    total: Counter[str] = Counter()
    for group in phases(tier):
        print(f"== {' beside '.join(phase.name for phase in group)}", flush=True)
        runs = [Run.start(each, rest, HYPOTHESIS[tier], aside=number > 0) for number, each in enumerate(group)]
        for run in runs:
            try:
                times[run.phase.name] = run.finish()
            except KeyboardInterrupt:
                # Ctrl-C reaches every pytest too: each undoes its effects and deletes its clusters first.
                for other in runs:
                    other.process.wait()
                return INTERRUPTED
            code = run.process.returncode
            # A selection by -k may leave a phase without tests.
            empty = code == NO_TESTS and (rest or run.phase.may_be_empty)
            if code != 0 and not empty:
                failed.append(run.phase.name)
            total += counted(run.results)
    print("== " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()))
    if failed:
        print(f"== failed: {', '.join(failed)}")
    print(closing(total, time.monotonic() - started), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
