"""Builds an image from a folder without Docker: a base layer, the folder's files, and how to start it.

The same input gives the same digest: times, owners, modes and order are fixed. A Debian root is made once for each list
of packages and kept in the cache, since its packages change at the mirror.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from harness.cluster.local import packages
from harness.cluster.local.images import BUSYBOX, base_entries
from harness.cluster.local.locks import locked
from harness.cluster.local.oci import LAYER, TIMESTAMP, BlobStore, Descriptor, Entry
from harness.cluster.local.paths import cache_root
from harness.cluster.local.supply.archives import this_platform
from harness.cluster.local.supply.references import whole_reference
from harness.cluster.local.supply.store import ImageStore, StoredImage
from harness.common.errors import ClusterBroken, InputError, Problem
from harness.common.progress import Progress

Base = Literal["busybox", "debian"]
SUITE = "bookworm"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEBIAN_SECONDS = 900.0
# Not needed to run anything, and a third of the size. Left out after the installation and not by dpkg: that of Java
# fails without the folders of its manual pages.
LEFT_OUT = re.compile(r"usr/share/(doc|man|locale|info|lintian)/.*")
# Files of a root that differ each time, or that a container runtime provides. Folders stay: programs write to them.
_VOLATILE = re.compile(
    r"(dev|proc|sys|run|tmp|var/tmp)/.*|var/(log|cache|lib/apt/lists)/.*|etc/(machine-id|hostname|resolv\.conf)$"
    r"|.*\.pyc$"
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_USER = re.compile(r"[\w][\w.-]*(:[\w][\w.-]*)?", re.ASCII)
MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to build. ``to`` is where the folder's files are in the image."""

    folder: Path
    name: str
    base: Base = "busybox"
    packages: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    env: tuple[str, ...] = ()
    workdir: str = "/"
    ports: tuple[int, ...] = ()
    to: str = "/"
    problems: list[Problem] = field(default_factory=list, compare=False)

    def check(self) -> None:
        """Raise InputError with everything that is wrong."""
        problems = list(self.problems)
        if not self.folder.is_dir():
            problems.append(Problem("found no folder, expected one with the files of the image", self.folder))
        if self.packages and self.base != "debian":
            problems.append(Problem(f"found {', '.join(self.packages)}, expected --base debian", field="--packages"))
        wrong = [name for name in self.packages if not _PACKAGE.fullmatch(name)]
        problems += [
            Problem(f"found {name!r}, expected the name of a Debian package", field="--packages") for name in wrong
        ]
        problems += [
            Problem(f"found {text!r}, expected NAME=VALUE", field="--env")
            for text in self.env
            if not text.partition("=")[0] or "=" not in text
        ]
        for option, path in (("--workdir", self.workdir), ("--to", self.to)):
            if not path.startswith("/") or ".." in PurePosixPath(path).parts:
                problems.append(Problem(f"found {path!r}, expected an absolute path", field=option))
        if self.user and not _USER.fullmatch(self.user):
            problems.append(
                Problem(f"found {self.user!r}, expected a user's name or number, or USER:GROUP", field="--user")
            )
        problems += [
            Problem(f"found {port}, expected a port from 1 to 65535", field="--port")
            for port in self.ports
            if not 1 <= port <= MAX_PORT
        ]
        if not self.entrypoint and not self.cmd:
            problems.append(Problem("found neither, expected what the container runs", field="--entrypoint, --cmd"))
        if problems:
            raise InputError(problems)

    @property
    def run(self) -> dict[str, Any]:
        """The ``config`` part of the image's configuration."""
        own_path = any(text.startswith("PATH=") for text in self.env)
        run: dict[str, Any] = {"Env": [*([] if own_path else [PATH]), *self.env], "WorkingDir": self.workdir}
        if self.entrypoint:
            run["Entrypoint"] = list(self.entrypoint)
        if self.cmd:
            run["Cmd"] = list(self.cmd)
        if self.user:
            run["User"] = self.user
        if self.ports:
            run["ExposedPorts"] = {f"{port}/tcp": {} for port in self.ports}
        return run


def build(recipe: Recipe, store: ImageStore, progress: Progress) -> StoredImage:
    """Build an image into a store. Raises InputError, ClusterBroken."""
    recipe.check()
    entries = list(_folder_entries(recipe.folder, recipe.to))
    debian = debian_root(recipe.packages, progress) if recipe.base == "debian" else None
    with store.locked(progress):
        base = debian_layer(debian, store.blobs) if debian else _busybox_layer(store.blobs)
        layers = [base, store.blobs.add_layer(entries)] if entries else [base]
        root = store.blobs.add_image(layers, recipe.run, platform.machine())
        name = whole_reference(recipe.name)
        image = StoredImage(
            name,
            root.media_type,
            root.digest,
            root.size,
            (this_platform(platform.machine()),),
            f"built from {recipe.folder} on {recipe.base}",
        )
        store.add([image])
    return image


def _busybox_layer(blobs: BlobStore) -> Descriptor:
    if not BUSYBOX.exists() or not packages.is_static(BUSYBOX):
        raise ClusterBroken(f"an image on busybox needs a static {BUSYBOX} (Debian: busybox-static)")
    return blobs.add_layer(base_entries())


def _folder_entries(folder: Path, to: str) -> Iterator[Entry]:
    """Yield the files of a folder, sorted; the folders above ``to`` first."""
    target = PurePosixPath(to.lstrip("/"))
    for parent in [*reversed(target.parents), target]:
        if str(parent) != ".":
            yield Entry(str(parent))
    for path in sorted(folder.rglob("*")):
        place = str(target / path.relative_to(folder).as_posix())
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield Entry(place, link=str(path.readlink()), mode=0o777)
        elif stat.S_ISDIR(mode):
            yield Entry(place)
        elif stat.S_ISREG(mode):
            # Git keeps no more of a file's mode than whether it is executable.
            yield Entry(place, source=path, mode=0o755 if mode & stat.S_IXUSR else 0o644)
        else:
            raise InputError([Problem("is neither a file, a folder nor a symbolic link", path)])


def debian_root(wanted: tuple[str, ...], progress: Progress) -> Path:
    """Return a tar of a Debian with these packages, made unless it is in the cache. Raises ClusterBroken."""
    content = "\n".join([SUITE, platform.machine(), *sorted(set(wanted)), "", LEFT_OUT.pattern, _VOLATILE.pattern])
    target = cache_root() / "debian-roots" / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.tar"
    if target.exists():
        return target
    with locked("debian-root", progress, "another process is making a Debian root: waiting for it", DEBIAN_SECONDS):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            packages.ensure_program("mmdebstrap", progress)
            progress(f"making a Debian {SUITE} with {', '.join(wanted) or 'its essential packages'}")
            made = target.with_name(f".{target.name}.{os.getpid()}.tar")
            try:
                _mmdebstrap(wanted, made)
                _normalize(made, target)
            finally:
                made.unlink(missing_ok=True)
    return target


def _mmdebstrap(wanted: tuple[str, ...], target: Path) -> None:
    included = [f"--include={','.join(sorted(set(wanted)))}"] if wanted else []
    command = ["mmdebstrap", "--variant=essential", *included, SUITE, str(target)]
    packages.run_for(command, DEBIAN_SECONDS, {"SOURCE_DATE_EPOCH": str(TIMESTAMP)})


def _normalize(made: Path, target: Path) -> None:
    """Write a root again without what differs each time: in a fixed order, with fixed times."""
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    with tarfile.open(made) as source, tarfile.open(new, "w", format=tarfile.GNU_FORMAT) as written:
        # A hard link comes after the file that it names.
        for member in sorted(source, key=lambda each: (each.islnk(), _name(each))):
            volatile = _VOLATILE.fullmatch(_name(member)) and not member.isdir()
            if member.isdev() or volatile or LEFT_OUT.fullmatch(_name(member)) or not _name(member):
                continue
            member.mtime, member.uname, member.gname = TIMESTAMP, "", ""
            member.pax_headers = {}
            member.name = _name(member)
            if member.islnk():
                member.linkname = member.linkname.removeprefix("./")
            written.addfile(member, source.extractfile(member) if member.isreg() else None)
    new.replace(target)


def _name(member: tarfile.TarInfo) -> str:
    return "" if member.name == "." else member.name.removeprefix("./")


def debian_layer(root: Path, blobs: BlobStore) -> Descriptor:
    """Store the tar of a Debian as a layer, and return its descriptor."""
    with root.open("rb") as file:
        return blobs.add_stream(LAYER, file)
