"""System packages that the local cluster needs, installed if they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.common.errors import ClusterBroken
from harness.common.progress import Progress

ALTERNATIVE = "use a kind cluster instead (--cluster=kind), which needs only Docker"
# Debian installs iptables, haproxy and modprobe in sbin folders, which are not in every PATH, such as that of cron.
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, and in ``shows`` the program or file that shows that it is installed."""

    name: str
    shows: str
    # For programs that are copied into images, which have no shared libraries.
    static: bool = False

    def is_installed(self) -> bool:
        """Return whether its program or file is present, from this package or another source."""
        if self.static:
            return Path(self.shows).exists() and is_static(Path(self.shows))
        if self.shows.startswith("/"):
            return Path(self.shows).exists()
        return shutil.which(self.shows, path=SEARCH) is not None


def is_static(program: Path) -> bool:
    """Return whether an ELF program has no dynamic loader; its name would be near the beginning of the file."""
    with program.open("rb") as file:
        head = file.read(4096)
    return b"/ld-linux" not in head and b"/ld-musl" not in head


PACKAGES = (
    Package("containerd", "containerd"),
    Package("runc", "runc"),
    Package("containernetworking-plugins", "/usr/lib/cni/bridge"),
    Package("iptables", "iptables"),
    Package("conntrack", "conntrack"),
    Package("iproute2", "ip"),
    # Debian's package ``busybox`` has a dynamic program at the same path.
    Package("busybox-static", "/bin/busybox", static=True),
    Package("haproxy", "haproxy"),
    Package("util-linux", "nsenter"),
    Package("kmod", "modprobe"),
)
# Features of the kernel that may be in modules that are not loaded yet, and the file that shows each.
KERNEL_MODULES: Mapping[str, str] = {
    "overlay": "/proc/filesystems",
    # Without br_netfilter, packets between pods on one bridge bypass iptables, and with it the rules of kube-proxy.
    "br_netfilter": "/proc/sys/net/bridge",
    "nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
}


def check_platform() -> None:
    """Raise ClusterBroken, with an alternative in the message, if this machine cannot run a local cluster."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ClusterBroken(f"a local cluster needs root on Linux: run as root, or {ALTERNATIVE}")


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [package.name for package in PACKAGES if not package.is_installed()]


def ensure(progress: Progress) -> None:
    """Install missing packages with apt. Raises ClusterBroken with apt's output, or if there is no apt."""
    wanted = missing()
    if wanted and shutil.which("apt-get", path=SEARCH) is None:
        raise ClusterBroken(
            f"missing on this machine: {', '.join(wanted)} (Debian package names); install them, or {ALTERNATIVE}"
        )
    if wanted:
        progress(f"installing {', '.join(wanted)}")
        # Container images of Debian contain no package lists.
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *wanted)
        if still := missing():
            raise ClusterBroken(f"apt-get installed {', '.join(wanted)}, but still missing are: {', '.join(still)}")
    _load_modules()


def ensure_program(name: str, progress: Progress) -> None:
    """Install the Debian package of a program, which has the same name, if it is missing. Raises ClusterBroken."""
    if shutil.which(name, path=SEARCH):
        return
    if shutil.which("apt-get", path=SEARCH) is None or os.geteuid() != 0:
        raise ClusterBroken(f"{name} is not installed (a Debian package of that name)")
    progress(f"installing {name}")
    _apt("update")
    _apt("install", "--yes", "--no-install-recommends", name)


def run_for(command: Sequence[str], seconds: float, variables: Mapping[str, str]) -> None:
    """Run a command for up to ``seconds`` with additional variables. Raises ClusterBroken with its last output."""
    environment = {**os.environ, "PATH": SEARCH, **variables}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterBroken(f"{command[0]} took over {seconds:g} s and was ended") from error
    if done.returncode != 0:
        output = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-15:])
        raise ClusterBroken(f"{command[0]} ended with exit code {done.returncode}:\n{output}")


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-q", *arguments]
    # A package's configuration dialogue would wait for input, which is the null device here.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        output = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-15:])
        raise ClusterBroken(f"{' '.join(command)} ended with exit code {done.returncode}:\n{output}")


def _load_modules() -> None:
    for module, shown in KERNEL_MODULES.items():
        if not _has_feature(module, shown):
            # Its exit code does not matter: the feature may also be built into the kernel, which the file shows.
            subprocess.run(["modprobe", module], check=False, capture_output=True, env={"PATH": SEARCH})
            if not _has_feature(module, shown):
                raise ClusterBroken(f"this kernel has no {module}, which containers need: {ALTERNATIVE}")


def _has_feature(module: str, shown: str) -> bool:
    if shown == "/proc/filesystems":
        return module in Path(shown).read_text().split()
    return Path(shown).exists()
