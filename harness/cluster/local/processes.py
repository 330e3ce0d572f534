"""Programs that outlive the command that started them, each with its log, its process id and its exit code on disk.

A small shell supervises every program: it joins the program's control group *before* it starts the program, so that no
process is ever outside the group, and records the exit code for any later command. A recorded process id counts only
while that process is in the control group of its node, since ids are reused.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.local import cgroups
from harness.common.errors import ClusterBroken

# $1 name of the log, $2 folder and name for the id and the exit code, $3 number of groups, then groups, then command.
SUPERVISE = """
log=$1 place=$2 groups=$3; shift 3
while [ "$groups" -gt 0 ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; groups=$((groups - 1)); done
exec < /dev/null >> "$log" 2>&1
"$@" &
echo $! > "$place.new" && mv "$place.new" "$place.pid"
wait $!
code=$?
echo $code > "$place.new" && mv "$place.new" "$place.exit"
"""
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Program:
    """One program of a cluster: its node, name, command line, control group and environment."""

    node: str
    name: str
    command: tuple[str, ...]
    cgroup: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.name} on {self.node}"


class Programs:
    """The programs of one cluster, read from its folder, so that any process can find them."""

    def __init__(self, folder: Path, logs: Path, cluster_group: str) -> None:
        self._folder = folder
        self.logs = logs
        self._cluster_group = cluster_group

    def log(self, node: str, name: str) -> Path:
        """Return the file of a program's output."""
        return self.logs / node / f"{name}.log"

    def start(self, program: Program) -> None:
        """Start a program and return at once. Its control group must exist."""
        place = self._place(program.node, program.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        log = self.log(program.node, program.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        # Files of an earlier start would otherwise be read as those of this one.
        for old in (place.with_suffix(".pid"), place.with_suffix(".exit")):
            old.unlink(missing_ok=True)
        groups = [str(folder) for folder in cgroups.folders(program.cgroup)]
        arguments = [str(log), str(place), str(len(groups)), *groups, *program.command]
        # A separate session without a waiting parent, so that neither Ctrl-C nor the end of this process ends it.
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", SUPERVISE, "sh", *arguments],
            check=True,
            env={**_clean_environment(), **program.environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
        )

    def pid(self, node: str, name: str) -> int | None:
        """Return the process id of a running program, or None if it does not run (yet)."""
        recorded = self._number(node, name, ".pid")
        if recorded is None or self._number(node, name, ".exit") is not None:
            return None
        return recorded if cgroups.contains(f"{self._cluster_group}/{node}", recorded) else None

    def exit_code(self, node: str, name: str) -> int | None:
        """Return the exit code of a program that ended, 128 + the number of the signal if one ended it; else None."""
        return self._number(node, name, ".exit")

    def check(self, node: str, name: str) -> None:
        """Raise ClusterBroken with the exit code and the end of the log if a program has ended."""
        code = self.exit_code(node, name)
        if code is None:
            return
        log = self.log(node, name)
        raise ClusterBroken(f"{name} on {node} ended with exit code {code}; its log {log} ends:\n{log_tail(log)}")

    def known(self) -> list[tuple[str, str]]:
        """Return all programs started so far, as (node, name)."""
        return sorted({(path.parent.name, path.stem) for path in self._folder.glob("*/*.pid")})

    def _place(self, node: str, name: str) -> Path:
        return self._folder / node / name

    def _number(self, node: str, name: str, suffix: str) -> int | None:
        try:
            return int(self._place(node, name).with_suffix(suffix).read_text())
        except (FileNotFoundError, ValueError):
            return None


def log_tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty)"


def run(command: Sequence[str], what: str, stdin: str | None = None) -> str:
    """Run a short command to its end and return its output. Raises ClusterBroken with its error output."""
    done = subprocess.run(
        command, input=stdin, check=False, capture_output=True, text=True, env=_clean_environment(), cwd="/"
    )
    if done.returncode != 0:
        raise ClusterBroken(f"{what}: {command[0]} ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _clean_environment() -> dict[str, str]:
    # A cluster must not depend on the proxy, Go or Kubernetes variables of the user who starts it.
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": system, "HOME": "/root", "LANG": "C.UTF-8"}
