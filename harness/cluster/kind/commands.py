"""Runs the commands of ``kind`` and of its container runtime, and parses their output."""

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

from harness.cluster.kind.config import FIRST_NODE_PORT, LOOPBACK, NODE_PORTS, config
from harness.cluster.kind.machine import shortages
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.resources import NODES
from harness.cluster.local.state import port_is_free
from harness.cluster.nodes.control import UNANSWERED, UNANSWERED_SECONDS
from harness.common.clock import Clock, SystemClock
from harness.common.errors import ApiError, ClusterBroken, ClusterUnreachable, TimedOut
from harness.common.waiting import wait_until

# The container runtimes that kind detects, in its order of preference, and those that only RUNTIME_VARIABLE selects.
# The commands below are those that kind itself uses with each, or that the manuals of all of them document.
RUNTIMES = ("docker", "nerdctl", "finch", "podman")
SELECTED_ONLY = ("nerdctl.lima",)
# kind's label on the containers of a cluster.
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
RUNTIME_VARIABLE = "KIND_EXPERIMENTAL_PROVIDER"
# Nodes of older versions do not start where only control groups of version 2 are mounted.
OLDEST = (0, 20)
# Linux gives the ports above to outgoing connections, so any of them may be taken at any time.
LAST_HOST_PORT = 32767
# Kubernetes' default range of NodePorts, which contains the range of owned clusters. kind publishes the API's port too.
ALL_NODE_PORTS = range(FIRST_NODE_PORT, 32768)
# Part of kind's error when containers of that name exist; kind has not created anything at that point.
_ALREADY_EXISTS = "already exist for a cluster with the name"
# Seconds. With the node image present, kind needs 34 to 61 s on two cores; otherwise it pulls the image first.
CREATE_SECONDS = 600.0
READY_SECONDS = 180.0
COMMAND_SECONDS = 120.0
LOAD_SECONDS = 300.0
DAEMON_SECONDS = 20.0
GRACE_SECONDS = 5.0
# The characters kept of a failed command's output: kind prints the error first and the log of the node last.
HEAD, TAIL = 700, 1300


class AlreadyThere(ClusterBroken):
    """A cluster of this name exists already: nothing was created, and the caller must not delete the existing one."""


def runtime() -> str:
    """Return the container runtime that kind uses on this machine; empty when there is none."""
    chosen = os.environ.get(RUNTIME_VARIABLE, "")
    if chosen in (*RUNTIMES, *SELECTED_ONLY):
        return chosen
    # kind ignores any other value with a warning.
    return next((name for name in RUNTIMES if shutil.which(name)), "")


def available() -> str:
    """Return why kind cannot be used on this machine, in one sentence; empty when it can."""
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
        return f"kind {found} is too old, expected {least} or newer"
    try:
        run([name, "info"], DAEMON_SECONDS)
    except ClusterBroken as error:
        return f"{name} or its daemon does not answer: {error}"
    return ""


def _version(output: str) -> tuple[int, int] | None:
    """Return kind's version; None if the output has none (a build from sources), which counts as new enough."""
    match = re.search(r"v(\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2])) if match else None


def exists(name: str) -> bool:
    """Return whether there is a kind cluster of this name. Raises ClusterBroken."""
    return name in run(["kind", "get", "clusters"], COMMAND_SECONDS).split()


def create(name: str, workers: int, kubeconfig: Path, image: str = "", clock: Clock | None = None) -> None:
    """Create a cluster, write its kubeconfig and wait for all of its nodes; an empty ``image`` means kind's default.

    Raises AlreadyThere when a cluster of this name exists. Raises ClusterBroken with kind's output and what this
    machine may lack; the incomplete cluster is kept for its logs, and the caller deletes it with ``delete``.
    """
    command = ["kind", "create", "cluster", "--name", name, "--config", "-", "--kubeconfig", str(kubeconfig)]
    # Without --retain, kind deletes an incomplete cluster and with it the logs. kind's own --wait covers only control
    # planes, so wait_for_nodes is used instead.
    command += ["--retain", *(["--image", image] if image else [])]
    try:
        run(command, CREATE_SECONDS, yaml.safe_dump(config(workers, free_host_ports())))
        wait_for_nodes(KubeApi.connect(kubeconfig, f"kind-{name}"), workers + 1, clock or SystemClock())
    except (ApiError, ClusterBroken, ClusterUnreachable, TimedOut) as error:
        if _ALREADY_EXISTS in str(error):
            raise AlreadyThere(str(error)) from error
        raise ClusterBroken("; ".join([str(error), *shortages()])) from error
    _shorten_connection_tracking(name)


def _shorten_connection_tracking(name: str) -> None:
    """Shorten how long the nodes track connections that were never answered, as on the local cluster."""
    command = f"echo {UNANSWERED_SECONDS} > /proc/sys/{UNANSWERED}"
    # Optional: where it is not permitted, the load generator still avoids source ports that got no answer.
    with suppress(ClusterBroken):
        for node in sorted(node_containers(name)):
            run([runtime(), "exec", node, "sh", "-c", command], DAEMON_SECONDS)


def wait_for_nodes(api: KubeApi, number: int, clock: Clock) -> None:
    """Wait up to ``READY_SECONDS`` until this many nodes exist and all are Ready. Raises TimedOut."""

    def look() -> tuple[bool | None, str]:
        ready = {node["metadata"]["name"]: holds(node, "Ready") for node in api.list(NODES).items}
        missing = sorted(name for name, is_ready in ready.items() if not is_ready)
        done = len(ready) >= number and not missing
        return (True if done else None), f"{len(ready)} of {number} nodes, not ready: {', '.join(missing) or 'none'}"

    wait_until("all nodes ready", look, READY_SECONDS, clock, every=0.5)


def free_host_ports() -> int:
    """Return the first of ``NODE_PORTS`` consecutive free ports on 127.0.0.1. Raises ClusterBroken without them."""
    for first in range(FIRST_NODE_PORT, LAST_HOST_PORT - NODE_PORTS, NODE_PORTS):
        if all(port_is_free(port) for port in range(first, first + NODE_PORTS)):
            return first
    raise ClusterBroken(
        f"no {NODE_PORTS} consecutive ports of {LOOPBACK} between {FIRST_NODE_PORT} and {LAST_HOST_PORT} are free: "
        "delete clusters that are no longer needed (kind get clusters, harness cluster status)"
    )


def published_ports(name: str) -> dict[int, int]:
    """Return the port on 127.0.0.1 of each NodePort that the control plane's node publishes. Raises ClusterBroken."""
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
    """Return the names of a cluster's node containers, running or not. Raises ClusterBroken."""
    if not runtime():
        raise ClusterBroken(f"no container runtime is installed, expected one of {', '.join(RUNTIMES)}")
    chosen = ("--all", "--filter", f"label={CLUSTER_LABEL}={name}", "--format", "{{.Names}}")
    return set(run([runtime(), "ps", *chosen], DAEMON_SECONDS).split())


def export_kubeconfig(name: str, kubeconfig: Path) -> None:
    """Write the kubeconfig of an existing cluster into a file. Raises ClusterBroken."""
    run(["kind", "export", "kubeconfig", "--name", name, "--kubeconfig", str(kubeconfig)], COMMAND_SECONDS)


def load_images(name: str, archive: Path) -> None:
    """Load the images of an archive into all nodes. Raises ClusterBroken."""
    run(["kind", "load", "image-archive", str(archive), "--name", name], LOAD_SECONDS)


def export_logs(name: str, folder: Path) -> None:
    """Write the logs of all nodes and their containers into a folder. Raises ClusterBroken."""
    run(["kind", "export", "logs", str(folder), "--name", name], COMMAND_SECONDS)


def delete(name: str, kubeconfig: Path) -> None:
    """Delete a cluster. Raises ClusterBroken."""
    run(["kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig)], COMMAND_SECONDS)


def run(command: Sequence[str], seconds: float, text: str = "") -> str:
    """Run a command for up to ``seconds`` and return its output; ``text`` is its input.

    The command runs in a separate session: a terminal's Ctrl-C goes to the whole process group, and must not interrupt
    a deletion or an undo while this process defers signals. An exception while waiting therefore ends the command.

    Raises ClusterBroken with the command's error output, shortened in the middle.
    """
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    except OSError as error:
        raise ClusterBroken(f"{command[0]} cannot be run: {error}") from error
    with child:
        try:
            output, errors = child.communicate(text, seconds)
        except subprocess.TimeoutExpired as error:
            _end(child)
            raise ClusterBroken(f"{' '.join(command[:3])} took over {seconds:g} s and was ended") from error
        except BaseException:
            _end(child)
            raise
    if child.returncode:
        raise ClusterBroken(f"{' '.join(command[:3])} failed: {_shortened(errors.strip())}")
    return output


def _end(child: subprocess.Popen[str]) -> None:
    """End a child and all processes that it started, so that none still works when the next command runs."""
    try:
        with suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(GRACE_SECONDS)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _shortened(output: str) -> str:
    return output if len(output) <= HEAD + TAIL else f"{output[:HEAD]} […] {output[-TAIL:]}"
