"""What is asked of ``kind`` and of the container runtime below it, and what their answers mean."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from harness.clock import Clock, SystemClock
from harness.cluster.api import KubeApi
from harness.cluster.conditions import holds
from harness.cluster.kind.config import FIRST_NODE_PORT, LOOPBACK, NODE_PORTS, config
from harness.cluster.kind.machine import shortages
from harness.cluster.local.state import port_is_free
from harness.cluster.nodes import UNANSWERED, UNANSWERED_SECONDS
from harness.cluster.resources import NODES
from harness.errors import ApiError, ClusterBroken, ClusterUnreachable, TimedOut
from harness.waiting import wait_until

# Of the runtimes that kind knows, in the order in which it looks for them itself, and those that it must be told of.
# What is asked of them below is what kind itself asks of each, or stands in the manuals of all.
RUNTIMES = ("docker", "nerdctl", "finch", "podman")
TOLD = ("nerdctl.lima",)
# What kind marks the containers of a cluster with.
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
RUNTIME_VARIABLE = "KIND_EXPERIMENTAL_PROVIDER"
# Older ones make nodes that do not start under control groups of version 2 as today's systems mount them.
OLDEST = (0, 20)
LAST_HOST_PORT = 32767
# Kubernetes' default range of NodePorts, in which that of clusters of ours lies. kind publishes the API's port as well.
ALL_NODE_PORTS = range(FIRST_NODE_PORT, 32768)
# In what kind says when it finds containers of that name, before it makes anything.
_THERE = "already exist for a cluster with the name"
CREATE_SECONDS = 600.0
READY_SECONDS = 180.0
COMMAND_SECONDS = 120.0
LOAD_SECONDS = 300.0
DAEMON_SECONDS = 20.0
GRACE_SECONDS = 5.0
# How much of what a failed command said is told: kind begins with what went wrong, and ends with a node's own words.
HEAD, TAIL = 700, 1300


class AlreadyThere(ClusterBroken):
    """There was a cluster of this name: nothing was made, and what is there is not the caller's to delete."""


def runtime() -> str:
    """The container runtime that kind uses here; empty when there is none."""
    chosen = os.environ.get(RUNTIME_VARIABLE, "")
    # Another value kind ignores with a warning.
    return chosen if chosen in (*RUNTIMES, *TOLD) else next((name for name in RUNTIMES if shutil.which(name)), "")


def available() -> str:
    """Why kind cannot be used on this machine, in one sentence; empty when it can."""
    if shutil.which("kind") is None:
        return "kind is not installed"
    name = runtime()
    if not name or shutil.which(name) is None:
        return f"{name or 'docker'} is not installed"
    try:
        version = _version(run(["kind", "version"], DAEMON_SECONDS))
    except ClusterBroken as error:
        return f"kind does not work: {error}"
    if version and version < OLDEST:
        found, least = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
        return f"kind {found} is too old: {least} or newer is needed"
    try:
        run([name, "info"], DAEMON_SECONDS)
    except ClusterBroken as error:
        return f"{name} or its daemon does not answer: {error}"
    return ""


def _version(said: str) -> tuple[int, int] | None:
    """A build of kind's own sources may say anything, and is taken as new enough."""
    match = re.search(r"v(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None


def exists(name: str) -> bool:
    """Whether there is a kind cluster of this name."""
    return name in run(["kind", "get", "clusters"], COMMAND_SECONDS).split()


def create(name: str, workers: int, kubeconfig: Path, image: str = "", clock: Clock | None = None) -> None:
    """Create a cluster, write its kubeconfig and wait for all of its nodes; an empty ``image`` means kind's own.

    Raises ClusterBroken with kind's own words and with what this machine may be short of. What was made until then
    stays, for its logs: ``delete`` takes it away. Raises AlreadyThere when there was one before.
    """
    command = ["kind", "create", "cluster", "--name", name, "--config", "-", "--kubeconfig", str(kubeconfig)]
    # kind itself would delete what it could not finish, and the logs with it. Its wait is for control planes only.
    command += ["--retain", *(["--image", image] if image else [])]
    try:
        run(command, CREATE_SECONDS, yaml.safe_dump(config(workers, free_host_ports())))
        wait_for_nodes(KubeApi.connect(kubeconfig, f"kind-{name}"), workers + 1, clock or SystemClock())
    except (ApiError, ClusterBroken, ClusterUnreachable, TimedOut) as error:
        if _THERE in str(error):
            raise AlreadyThere(str(error)) from error
        raise ClusterBroken("; ".join([str(error), *shortages()])) from error
    _forget_soon(name)


def _forget_soon(name: str) -> None:
    """Let the nodes forget connections that were never answered, as those of the local cluster do."""
    command = f"echo {UNANSWERED_SECONDS} > /proc/sys/{UNANSWERED}"
    # Where it is not allowed the load still keeps off its own ports that nobody answered on.
    with suppress(ClusterBroken):
        for node in sorted(node_containers(name)):
            run([runtime(), "exec", node, "sh", "-c", command], DAEMON_SECONDS)


def wait_for_nodes(api: KubeApi, number: int, clock: Clock) -> None:
    """Wait until this many nodes are there and all are Ready. Raises TimedOut."""

    def look() -> tuple[bool | None, str]:
        ready = {node["metadata"]["name"]: holds(node, "Ready") for node in api.list(NODES).items}
        missing = sorted(name for name, is_ready in ready.items() if not is_ready)
        done = len(ready) >= number and not missing
        return (True if done else None), f"{len(ready)} of {number} nodes, not ready: {', '.join(missing) or 'none'}"

    wait_until("all nodes ready", look, READY_SECONDS, clock, every=0.5)


def free_host_ports() -> int:
    """The first of as many neighbouring free ports on 127.0.0.1 as are to be published. Raises ClusterBroken."""
    for first in range(FIRST_NODE_PORT, LAST_HOST_PORT - NODE_PORTS, NODE_PORTS):
        if all(port_is_free(port) for port in range(first, first + NODE_PORTS)):
            return first
    raise ClusterBroken(
        f"no {NODE_PORTS} neighbouring ports of {LOOPBACK} between {FIRST_NODE_PORT} and {LAST_HOST_PORT} are free: "
        "delete clusters that are no longer needed (kind get clusters, harness cluster status)"
    )


def published_ports(name: str) -> dict[int, int]:
    """On which port of 127.0.0.1 each NodePort of the control plane's node is published. Raises ClusterBroken."""
    inspect = [runtime(), "inspect", "--format", "{{json .NetworkSettings.Ports}}", f"{name}-control-plane"]
    bindings = json.loads(run(inspect, COMMAND_SECONDS)) or {}
    published = {
        port: binding["HostPort"]
        for port, places in bindings.items()
        for binding in places or ()
        if binding["HostIp"] == LOOPBACK and port.endswith("/tcp")
    }
    numbers = {int(port.removesuffix("/tcp")): int(here) for port, here in published.items()}
    return {port: here for port, here in numbers.items() if port in ALL_NODE_PORTS}


def node_containers(name: str) -> set[str]:
    """The names of the containers that are nodes of a cluster, running or not. Raises ClusterBroken."""
    if not runtime():
        raise ClusterBroken(f"no container runtime is installed, expected one of {', '.join(RUNTIMES)}")
    chosen = ("--all", "--filter", f"label={CLUSTER_LABEL}={name}", "--format", "{{.Names}}")
    return set(run([runtime(), "ps", *chosen], DAEMON_SECONDS).split())


def export_kubeconfig(name: str, kubeconfig: Path) -> None:
    """Write how a cluster that is there is reached into a file. Raises ClusterBroken."""
    run(["kind", "export", "kubeconfig", "--name", name, "--kubeconfig", str(kubeconfig)], COMMAND_SECONDS)


def load_images(name: str, archive: Path) -> None:
    """Give all nodes the images of an archive. Raises ClusterBroken."""
    run(["kind", "load", "image-archive", str(archive), "--name", name], LOAD_SECONDS)


def export_logs(name: str, folder: Path) -> None:
    """Write the logs of all nodes and of their containers into a folder. Raises ClusterBroken."""
    run(["kind", "export", "logs", str(folder), "--name", name], COMMAND_SECONDS)


def delete(name: str, kubeconfig: Path) -> None:
    """Delete a cluster. Raises ClusterBroken."""
    run(["kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig)], COMMAND_SECONDS)


def run(command: Sequence[str], seconds: float, text: str = "") -> str:
    """Run a command to its end and return its output. Raises ClusterBroken with what it said, cut in the middle.

    In a session of its own: a terminal's Ctrl-C goes to the whole process group, and must not end a deletion or an undo
    that this process holds signals back for. So whoever stops waiting for it ends it.
    """
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    except OSError as error:
        raise ClusterBroken(f"{command[0]} cannot be run: {error}") from error
    with child:
        try:
            said, complained = child.communicate(text, seconds)
        except subprocess.TimeoutExpired as error:
            _end(child)
            raise ClusterBroken(f"{' '.join(command[:3])} took over {seconds:g} s") from error
        except BaseException:
            _end(child)
            raise
    if child.returncode:
        raise ClusterBroken(f"{' '.join(command[:3])} failed: {_shortened(complained.strip())}")
    return said


def _end(child: subprocess.Popen[str]) -> None:
    """End a child and all that it started: what follows must not meet it still at work."""
    try:
        with suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(GRACE_SECONDS)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _shortened(said: str) -> str:
    return said if len(said) <= HEAD + TAIL else f"{said[:HEAD]} […] {said[-TAIL:]}"
