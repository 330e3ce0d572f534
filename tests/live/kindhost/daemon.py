"""A Docker daemon of its own: nothing of it lies outside of namespaces, control groups and a folder that go with it.

It is kept and taken away with the means of the local cluster, under the name of one: its processes are in the control
group of that name, its files in the folder of that name, its containers below both.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.local import cgroups, teardown
from harness.cluster.local.locks import locked
from harness.cluster.local.namespaces import HOLDER, Namespaces
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.processes import Program, Programs
from harness.common.clock import Clock, SystemClock
from harness.common.progress import Progress
from harness.common.waiting import wait_until
from tests.live.kindhost import image_store, packages, runtime
from tests.live.kindhost.capabilities import may_raise_limits
from tests.live.kindhost.node_image import NodeImage

NAME = "kindhost"
HOST = "host"
DAEMON = "dockerd"
DATA = "data"
READY_SECONDS = 30.0
# Set aside for benchmarks, and only inside of the daemon's network; the local cluster has the lower half.
ADDRESSES = "base=198.18.128.0/17,size=24"
# $1 folder for what is ready.
SETUP = """
set -e
mount -t tmpfs -o mode=755 run /run
ip link set lo up
: > "$1/.ready"
exec sleep infinity
"""


@dataclass(frozen=True, slots=True)
class DockerHost:
    """A running daemon, the network that it and its containers are in, and kind with its node image."""

    folder: Path
    namespaces: Namespaces
    image: NodeImage

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes ``docker`` and ``kind`` use this daemon: no other setting of the user's is needed or changed."""
        path = f"{self.image.kind}:{os.environ['PATH']}"
        variables = {"DOCKER_HOST": f"unix://{self.folder}/docker.sock", "PATH": path}
        # Its nodes reach no registry.
        return {**os.environ, **variables, "RESILIENCE_HARNESS_IMAGES": "build"}

    def run(self, command: Sequence[str], **how: object) -> subprocess.CompletedProcess[str]:
        """Run a command where 127.0.0.1 is the daemon's: ports that containers publish are there and nowhere else."""
        inside = self.namespaces.enter_network(*command)
        return subprocess.run(inside, env=dict(self.environment), text=True, check=False, **how)  # type: ignore[call-overload,no-any-return]


@contextmanager
def docker_host(image: NodeImage, progress: Progress, clock: Clock | None = None) -> Iterator[DockerHost]:
    """A daemon that has the node image; afterwards nothing of it is left. Raises ClusterBroken."""
    clock = clock or SystemClock()
    packages.ensure(progress)
    with locked(NAME, progress, "another process has a Docker daemon of this kind: waiting for it"):
        teardown.remove(NAME, clock)
        yield from _while_it_runs(image, progress, clock)


def _while_it_runs(image: NodeImage, progress: Progress, clock: Clock) -> Iterator[DockerHost]:
    try:
        data = ClusterPaths.of(NAME).root / DATA
        kept = image_store.restore(image, data)
        host = _start(image, clock)
        if not kept:
            progress("loading the node image")
            _load(host)
            image_store.keep(image, data)
        yield host
    finally:
        teardown.remove(NAME, clock)


def _start(image: NodeImage, clock: Clock) -> DockerHost:
    paths = ClusterPaths.of(NAME)
    paths.root.mkdir(parents=True, exist_ok=True)
    programs = Programs(paths.programs, paths.logs, cgroups.group(NAME))
    group = cgroups.group(NAME, HOST)
    cgroups.make(group, "system")
    setup = ("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", SETUP, "sh", str(paths.root))
    programs.start(Program(HOST, HOLDER, setup, f"{group}/system"))
    _wait(programs, HOLDER, "the daemon's network", (paths.root / ".ready").exists, clock)
    namespaces = Namespaces(programs.pid(HOST, HOLDER) or 0)
    programs.start(Program(HOST, DAEMON, namespaces.enter(*_command(paths.root)), f"{group}/system"))
    host = DockerHost(paths.root, namespaces, image)
    _wait(
        programs,
        DAEMON,
        "the Docker daemon",
        lambda: host.run(["docker", "version"], capture_output=True).returncode == 0,
        clock,
    )
    return host


def _command(folder: Path) -> list[str]:
    (folder / "daemon.json").write_text("{}")
    return [
        DAEMON,
        f"--host=unix://{folder}/docker.sock",
        f"--data-root={folder / DATA}",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/docker.pid",
        f"--config-file={folder}/daemon.json",
        f"--cgroup-parent=/{cgroups.group(NAME)}/containers",
        f"--default-address-pool={ADDRESSES}",
        "--bridge=none",
        # Below that of its parent a score can be set only with CAP_SYS_RESOURCE, and nothing here deserves it.
        "--oom-score-adjust=0",
        *([] if may_raise_limits() else runtime.arguments(folder)),
    ]


def _wait(programs: Programs, name: str, what: str, look: Callable[[], bool], clock: Clock) -> None:
    def seen() -> tuple[bool | None, str]:
        programs.check(HOST, name)
        return (True if look() else None), "not yet"

    wait_until(what, seen, READY_SECONDS, clock)


def _load(host: DockerHost) -> None:
    with subprocess.Popen(
        ["docker", "load"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=dict(host.environment)
    ) as load:
        assert load.stdin is not None
        host.image.write(load.stdin)
        load.stdin.close()
    if load.returncode:
        raise ChildProcessError(f"docker load ended with exit code {load.returncode}")
