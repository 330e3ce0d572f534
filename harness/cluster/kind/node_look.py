"""What is read on a node of kind, in one go, to tell later whether anything was left on it.

Everything on the node is in its container, pods included. What was entered from outside has no parent there.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.cluster.node_traces import (
    HELPERS,
    LIMITS,
    MARK,
    NETWORK_SCRIPT,
    file_left,
    limit,
    parse_network,
    process,
)
from harness.cluster.nodes import SERVICES, Service, Trace

_FOLDERS = ("/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids")
_LIMIT_FILES = " ".join(f"{folder}/{name}" for folder in _FOLDERS for name in LIMITS)
# The brackets keep the look from finding itself.
_MARK = f"{MARK[:-1]}[{MARK[-1]}]"

SCRIPT = f"""{NETWORK_SCRIPT}
echo '== service'; systemctl is-active {" ".join(SERVICES)} || :
echo '== limit'; grep -s -H . {_LIMIT_FILES} || :
echo '== file'; ls -d /run/*resilience* /tmp/*resilience* /var/tmp/*resilience* 2> /dev/null || :
echo '== pod'; ls /var/log/pods 2> /dev/null || :
echo '== process'
tell() {{
  for file in $2; do
    dir=${{file%/*}}
    name=$(cat "$dir/comm" 2> /dev/null) || continue
    echo "$1 ${{dir#/proc/}} $(grep -s -m 1 pod "$dir/cgroup" || echo /) $name"
  done
}}
tell stopped "$(grep -s -l -E '^[0-9]+ \\(.*\\) T ' /proc/[0-9]*/stat)"
tell ours "$(grep -s -l -a -e '{_MARK}' /proc/[0-9]*/cmdline)"
tell ours "$(grep -s -l -E '^[0-9]+ \\(({"|".join(HELPERS)})\\) [^Z] 0 ' /proc/[0-9]*/stat)"
"""


def services(shown: Mapping[str, list[str]]) -> frozenset[Service]:
    """Those that are active, in the sections of what SCRIPT printed."""
    return frozenset(
        service for service, state in zip(SERVICES, shown.get("service", ()), strict=False) if state == "active"
    )


def lines(shown: Mapping[str, list[str]]) -> frozenset[Trace]:
    """All else, in the same."""
    found = parse_network(shown)
    for line in shown.get("limit", ()):
        file, _, value = line.partition(":")
        found.add(limit(file.removeprefix("/sys/fs/cgroup/"), value))
    found |= {file_left(path) for path in shown.get("file", ())}
    for line in shown.get("process", ()):
        what, pid, group, name = line.split(" ", 3)
        found.add(process(int(pid), name, group, shown.get("pod", ()), stopped=what == "stopped"))
    return frozenset(found)
