"""The tools: what each is called, how it is started, and what it needs."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.kube.services import node_port
from harness.cluster.local.binaries import Binaries
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.paths import cache_root
from harness.common.errors import HarnessError
from harness.common.progress import Progress

HERE = Path(__file__).parent
INSTALL_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What is to be watched: a Deployment, the label of its pods, for how long, and by which Service users reach it."""

    namespace: str
    name: str
    seconds: int
    service: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """``command`` is None for one that is not there, for the reason in ``missing``. ``asks`` the service itself, and
    nothing else, so that there must be one."""

    name: str
    command: Callable[[Watched], Sequence[str]] | None
    missing: str = ""
    asks: bool = False


def tools(cluster: LocalCluster, binaries: Binaries, progress: Progress) -> list[Tool]:
    """All of them; peers are installed where they are missing, into the cache and nowhere else."""
    kubeconfig, kubectl = str(cluster.kubeconfig), str(binaries.folder / "kubectl")

    def ours(it: Watched) -> Sequence[str]:
        module = [sys.executable, "-m", "benchmarks.peers.ours", cluster.name]
        return [*module, it.namespace, it.name, str(it.seconds), *filter(None, [it.service])]

    def wait(it: Watched) -> Sequence[str]:
        return [str(HERE / "kubectl_wait.sh"), kubectl, kubeconfig, it.namespace, it.name, str(it.seconds)]

    def http(it: Watched) -> Sequence[str]:
        service, _, port = it.service.partition(":")
        address = cluster.node_port(node_port(cluster.api, service, it.namespace, port))
        return ["chaos_http.py", f"http://{address}/"]

    krkn = _Installed("krkn-lib", progress)
    chaos = _Installed("chaostoolkit-kubernetes", progress)
    return [
        Tool("harness", ours),
        krkn.tool("krkn-lib", lambda it: ["krkn.py", kubeconfig, it.namespace, f"app={it.name}"]),
        chaos.tool("chaostoolkit-kubernetes", lambda it: ["chaos.py", kubeconfig, it.namespace, it.name]),
        chaos.tool("chaostoolkit", http, before=cluster.load_command(), asks=True),
        Tool(f"kubectl wait {binaries.versions['kubectl']}", wait),
    ]


class _Installed:
    """A virtual environment by a lock file of this name."""

    def __init__(self, lock: str, progress: Progress) -> None:
        file = HERE / f"{lock}.txt"
        self._lock, self._missing = file.read_text(encoding="utf-8"), ""
        try:
            self._python = _environment(file, progress)
        except HarnessError as error:
            self._missing = str(error)

    def tool(
        self,
        package: str,
        arguments: Callable[[Watched], Sequence[str]],
        before: Sequence[str] = (),
        *,
        asks: bool = False,
    ) -> Tool:
        """One of its packages, used by a script of ours with such arguments; ``before`` stands in front of it."""

        def command(it: Watched) -> Sequence[str]:
            script, *rest = arguments(it)
            return [*before, str(self._python), str(HERE / script), *rest, str(it.seconds)]

        name = f"{package} {pinned(package, self._lock)}"
        return Tool(name, None if self._missing else command, self._missing, asks)


def pinned(package: str, lock: str) -> str:
    """The version of a package in a lock file. Raises HarnessError."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    if found is None:
        raise HarnessError(f"{package} is not in its lock file")
    return found[1]


def _environment(lock: Path, progress: Progress) -> Path:
    """The Python of a virtual environment that holds what the lock file says. Raises HarnessError."""
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_root() / "benchmarks" / f"{lock.stem}-{key}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    progress(f"installing {lock.stem} into a virtual environment of its own")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()
        raise HarnessError(f"cannot be installed: {said[-1] if said else error}") from error
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"cannot be installed within {INSTALL_SECONDS:g} s") from error
    complete.touch()
    return python
