"""System packages that the local cluster needs, installed by name where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.local.progress import Progress
from harness.errors import ClusterBroken

WAY_OUT = "use a kind cluster instead (--cluster=kind), which needs only Docker"
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package and the program or file that shows that it is there."""

    name: str
    shows: str
    # For programs that go into images, which hold no shared library.
    static: bool = False

    def is_installed(self) -> bool:
        """Whether what it brings is there, however it came."""
        if self.static:
            return Path(self.shows).exists() and is_static(Path(self.shows))
        if self.shows.startswith("/"):
            return Path(self.shows).exists()
        return shutil.which(self.shows, path=SEARCH) is not None


def is_static(program: Path) -> bool:
    """Whether an ELF program names no loader of shared libraries; the name lies near the beginning of the file."""
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
    Package("busybox-static", "/bin/busybox", static=True),
    Package("haproxy", "haproxy"),
    Package("util-linux", "nsenter"),
    Package("kmod", "modprobe"),
)
# Features of the kernel that may be modules not loaded yet, and what shows that each is there.
KERNEL_MODULES: Mapping[str, str] = {
    "overlay": "/proc/filesystems",
    "br_netfilter": "/proc/sys/net/bridge",
    "nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
}


def check_platform() -> None:
    """Refuse a machine that cannot carry a local cluster, in one sentence with the way out. Raises ClusterBroken."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ClusterBroken(f"a local cluster needs root on Linux: run as root, or {WAY_OUT}")


def missing() -> list[str]:
    """The packages that are not installed."""
    return [package.name for package in PACKAGES if not package.is_installed()]


def ensure(progress: Progress) -> None:
    """Install what is missing with apt. Raises ClusterBroken with apt's own words, or when there is no apt."""
    wanted = missing()
    if wanted and shutil.which("apt-get", path=SEARCH) is None:
        raise ClusterBroken(
            f"missing on this machine: {', '.join(wanted)} (Debian's names); install them, or {WAY_OUT}"
        )
    if wanted:
        progress(f"installing {', '.join(wanted)}")
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *wanted)
        if still := missing():
            raise ClusterBroken(f"apt-get installed {', '.join(wanted)}, but there is still no {', '.join(still)}")
    _load_modules()


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-q", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        said = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-15:])
        raise ClusterBroken(f"{' '.join(command)} ended with exit code {done.returncode}:\n{said}")


def _load_modules() -> None:
    for module, shown in KERNEL_MODULES.items():
        if not _has_feature(module, shown):
            subprocess.run(["modprobe", module], check=False, capture_output=True, env={"PATH": SEARCH})
            if not _has_feature(module, shown):
                raise ClusterBroken(f"this kernel has no {module}, which containers need: {WAY_OUT}")


def _has_feature(module: str, shown: str) -> bool:
    if shown == "/proc/filesystems":
        return module in Path(shown).read_text().split()
    return Path(shown).exists()
