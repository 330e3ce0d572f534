"""The node's root file system: a Debian with what kind's own base image installs, as one tar, made once and cached."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from harness.cluster.local.locks import locked
from harness.cluster.local.paths import cache_root
from harness.cluster.local.processes import run
from harness.common.progress import Progress

SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "conntrack", "iptables", "iproute2", "ethtool", "util-linux", "mount", "kmod"),
    *("libseccomp2", "bash", "ca-certificates", "procps", "jq", "containerd", "runc", "containernetworking-plugins"),
)
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
# As kind's own base image does: no unit starts but those that a node needs, and none that touches the kernel's globals.
TRIM = """
cd "$1"
find lib/systemd/system/sysinit.target.wants -name systemd-tmpfiles-setup.service -delete
rm -f lib/systemd/system/multi-user.target.wants/* etc/systemd/system/*.wants/*
rm -f lib/systemd/system/local-fs.target.wants/* lib/systemd/system/basic.target.wants/*
rm -f lib/systemd/system/sockets.target.wants/*udev* lib/systemd/system/sockets.target.wants/*initctl*
echo ReadKMsg=no >> etc/systemd/journald.conf
"""


def ensure(progress: Progress) -> Path:
    """The tar, made unless it is in the cache. Raises ClusterBroken."""
    key = hashlib.sha256("\n".join([SUITE, *PACKAGES, *LEFT_OUT, TRIM]).encode()).hexdigest()[:16]
    target = cache_root() / "kindhost" / f"root-{key}.tar"
    if target.exists():
        return target
    with locked("kindhost-root", progress, "another process is making the node's root file system: waiting for it"):
        if not target.exists():
            progress("making the node's root file system")
            target.parent.mkdir(parents=True, exist_ok=True)
            _make(target)
    return target


def _make(target: Path) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.tar")
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    hook = f"--customize-hook={TRIM}"
    packages = f"--include={','.join(PACKAGES)}"
    command = ["nice", "mmdebstrap", "--variant=essential", packages, *excluded, hook, SUITE, str(part)]
    run(command, "make the node's root file system")
    part.replace(target)


def files_of(root: tarfile.TarFile, packages: Iterable[str]) -> set[str]:
    """The names within the tar of everything that these packages brought."""
    found: set[str] = set()
    for package in packages:
        names = [f"./var/lib/dpkg/info/{package}{suffix}.list" for suffix in ("", ":amd64", ":arm64")]
        lists = [root.extractfile(name) for name in names if name in root.getnames()]
        for listed in filter(None, lists):
            found.update(_place(line) for line in listed.read().decode().splitlines())
    return found


def _place(listed: str) -> str:
    """Where a file that a package lists is in the tar: packages still say /lib where /usr is merged."""
    top = listed.split("/")[1]
    return f"./usr{listed}" if top in {"bin", "lib", "lib64", "sbin"} else f".{listed}"
