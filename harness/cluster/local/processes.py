"""Programs that outlive the command that started them, each with its log, its process id and its exit code on disk.

A small shell stands over every program: it joins the program's control group *before* it starts it, so that a process
that is not in the group does not exist at any moment, and it writes the exit code down, whoever looks later. No list
of process ids is trusted: a remembered id counts only while that process is in the control group of its node.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.local import cgroups
from harness.errors import ClusterBroken

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
    """One program of a cluster: its name on its node, what to run, where it logs, and the control group it lives in."""

    node: str
    name: str
    command: tuple[str, ...]
    cgroup: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.name} on {self.node}"


class Programs:
    """The programs of one cluster, found again from its folder by any later process."""

    def __init__(self, folder: Path, logs: Path, cluster_group: str) -> None:
        self._folder = folder
        self.logs = logs
        self._cluster_group = cluster_group

    def log(self, node: str, name: str) -> Path:
        """Where a program's output goes."""
        return self.logs / node / f"{name}.log"

    def start(self, program: Program) -> None:
        """Start a program and return at once. Its group must exist."""
        place = self._place(program.node, program.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        log = self.log(program.node, program.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        for old in (place.with_suffix(".pid"), place.with_suffix(".exit")):
            old.unlink(missing_ok=True)
        groups = [str(folder) for folder in cgroups.folders(program.cgroup)]
        arguments = [str(log), str(place), str(len(groups)), *groups, *program.command]
        # A session of its own and no parent that waits: neither Ctrl-C nor the end of this process reaches it.
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", SUPERVISE, "sh", *arguments],
            check=True,
            env={**_clean_environment(), **program.environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
        )

    def pid(self, node: str, name: str) -> int | None:
        """The process id of a running program, None when it does not run (or not yet)."""
        recorded = self._number(node, name, ".pid")
        if recorded is None or self._number(node, name, ".exit") is not None:
            return None
        return recorded if cgroups.contains(f"{self._cluster_group}/{node}", recorded) else None

    def exit_code(self, node: str, name: str) -> int | None:
        """The exit code of a program that has ended by itself or by a signal (128 + its number)."""
        return self._number(node, name, ".exit")

    def check(self, node: str, name: str) -> None:
        """Raise ClusterBroken with the exit code and the end of the log when a program has ended."""
        code = self.exit_code(node, name)
        if code is None:
            return
        log = self.log(node, name)
        raise ClusterBroken(f"{name} on {node} ended with exit code {code}; its log {log} ends:\n{log_tail(log)}")

    def known(self) -> list[tuple[str, str]]:
        """All programs started so far, as (node, name)."""
        return sorted({(path.parent.name, path.stem) for path in self._folder.glob("*/*.pid")})

    def _place(self, node: str, name: str) -> Path:
        return self._folder / node / name

    def _number(self, node: str, name: str, suffix: str) -> int | None:
        try:
            return int(self._place(node, name).with_suffix(suffix).read_text())
        except (FileNotFoundError, ValueError):
            return None


def log_tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty)"


def run(command: Sequence[str], what: str, stdin: str | None = None) -> str:
    """Run a short command to its end and return its output. Raises ClusterBroken with what it printed."""
    done = subprocess.run(
        command, input=stdin, check=False, capture_output=True, text=True, env=_clean_environment(), cwd="/"
    )
    if done.returncode != 0:
        raise ClusterBroken(f"{what}: {command[0]} ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _clean_environment() -> dict[str, str]:
    # No proxy, Go or Kubernetes setting of the user may reach a cluster that is the same for everyone.
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": system, "HOME": "/root", "LANG": "C.UTF-8"}
