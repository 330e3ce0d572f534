"""Reads the state of a kind node with one command, to find leftovers on it later.

Everything on the node is in its container, including pods. A process started from outside (``exec``) has parent 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.cluster.nodes.control import SERVICES, Service, Trace
from harness.cluster.nodes.traces import (
    HELPERS,
    LIMITS,
    MARK,
    NETWORK_SCRIPT,
    file_left,
    limit,
    parse_network,
    process,
)

_FOLDERS = ("/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids")
_LIMIT_FILES = " ".join(f"{folder}/{name}" for folder in _FOLDERS for name in LIMITS)
# The brackets keep the search from matching its own command line.
_MARK = f"{MARK[:-1]}[{MARK[-1]}]"

# grep needs -a for a command line: its arguments end with zero bytes, so it would count as a binary file.
SCRIPT = f"""{NETWORK_SCRIPT}
echo '== service'; systemctl is-active {" ".join(SERVICES)} || :
echo '== limit'; grep -s -H . {_LIMIT_FILES} || :
echo '== file'; ls -d /run/*resilience* /tmp/*resilience* /var/tmp/*resilience* 2> /dev/null || :
echo '== pod'; ls /var/log/pods 2> /dev/null || :
echo '== process'
report() {{
  for file in $2; do
    dir=${{file%/*}}
    name=$(cat "$dir/comm" 2> /dev/null) || continue
    echo "$1 ${{dir#/proc/}} $(grep -s -m 1 pod "$dir/cgroup" || echo /) $name"
  done
}}
report stopped "$(grep -s -l -E '^[0-9]+ \\(.*\\) T ' /proc/[0-9]*/stat)"
report ours "$(grep -s -l -a -e '{_MARK}' /proc/[0-9]*/cmdline)"
report ours "$(grep -s -l -E '^[0-9]+ \\(({"|".join(HELPERS)})\\) [^Z] 0 ' /proc/[0-9]*/stat)"
"""


def services(shown: Mapping[str, list[str]]) -> frozenset[Service]:
    """Return the active services, from the sections of SCRIPT's output."""
    return frozenset(
        service for service, state in zip(SERVICES, shown.get("service", ()), strict=False) if state == "active"
    )


def lines(shown: Mapping[str, list[str]]) -> frozenset[Trace]:
    """Return everything else, from the same sections."""
    found = parse_network(shown)
    for line in shown.get("limit", ()):
        file, _, value = line.partition(":")
        found.add(limit(file.removeprefix("/sys/fs/cgroup/"), value))
    found |= {file_left(path) for path in shown.get("file", ())}
    for line in shown.get("process", ()):
        what, pid, group, name = line.split(" ", 3)
        found.add(process(int(pid), name, group, shown.get("pod", ()), stopped=what == "stopped"))
    return frozenset(found)
