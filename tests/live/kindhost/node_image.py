"""The node image that kind runs, as layers and a configuration that ``docker load`` takes, made once and cached."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.cluster.components import FOR_KIND
from harness.cluster.local import binaries, commands, images
from harness.cluster.local.locks import locked
from harness.cluster.local.oci import ARCHITECTURES, BlobStore, Descriptor, Entry
from harness.cluster.local.paths import cache_root
from harness.common.progress import Progress
from tests.live.kindhost import debian_root, node_files, packages, system_images
from tests.live.kindhost.system_images import Parts

INDEX = "image.json"


@dataclass(frozen=True, slots=True)
class NodeImage:
    """A node image in its folder, and the folder of the ``kind`` that goes with it."""

    folder: Path
    reference: str
    kind: Path

    def write(self, stream: IO[bytes]) -> None:
        """Write the image as ``docker save`` would."""
        content = json.loads((self.folder / INDEX).read_text())
        blobs = BlobStore(self.folder)
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for digest in [content["config"], *content["layers"]]:
                archive.add(blobs.path(digest), digest.removeprefix("sha256:"))
            names = [digest.removeprefix("sha256:") for digest in content["layers"]]
            entry = {"Config": content["config"].removeprefix("sha256:"), "RepoTags": [self.reference], "Layers": names}
            body = json.dumps([entry]).encode()
            member = tarfile.TarInfo("manifest.json")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


def ensure(progress: Progress) -> NodeImage:
    """The image, made unless it is in the cache. Raises ClusterBroken."""
    # Before anything that uses them, such as mmdebstrap: what the local cluster needs, ctr among it, `build` installs.
    packages.ensure(progress)
    built = commands.build(progress)
    for_kind = binaries.ensure(progress, components=FOR_KIND)
    root = debian_root.ensure(progress)
    parts = Parts(root, built, for_kind.folder / "kubeadm", images.ensure(built, progress))
    files = node_files.entries(parts, progress)
    key = _key([str(parts), Path(system_images.__file__).read_text(), *map(str, files)])
    folder = cache_root() / "kindhost" / f"image-{key}"
    made = NodeImage(folder, f"resilience.local/node:{parts.version}-{key}", for_kind.folder)
    with locked("kindhost-image", progress, "another process is making the node image: waiting for it"):
        if not (folder / INDEX).exists():
            progress("making the node image")
            _make(folder, parts, files)
    return made


def _make(folder: Path, parts: Parts, files: list[Entry]) -> None:
    work = folder.with_name(f".{folder.name}.{os.getpid()}")
    for abandoned in folder.parent.glob(".image-*"):
        shutil.rmtree(abandoned)
    work.mkdir(parents=True)
    made = BlobStore(work / "made")
    store = system_images.store(parts, work)
    layers = [_adopt(made, parts.root), made.add_layer(files), made.add_layer(_tree(store, "var/lib/containerd"))]
    config = made.add_bytes("", json.dumps(_config([layer.digest for layer in layers])).encode())
    index = {"config": config.digest, "layers": [layer.digest for layer in layers]}
    # The index says that the image is whole, and the folder appears with it.
    (work / "made" / INDEX).write_text(json.dumps(index))
    (work / "made").rename(folder)
    shutil.rmtree(work)


def _adopt(made: BlobStore, tar: Path) -> Descriptor:
    """A layer that is there already, by a link where the file system allows."""
    with tar.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    try:
        made.path(digest).hardlink_to(tar)
    except OSError:
        shutil.copyfile(tar, made.path(digest))
    return Descriptor("", digest, tar.stat().st_size)


def _tree(folder: Path, place: str) -> list[Entry]:
    found = []
    for path in sorted(folder.rglob("*")):
        name = f"{place}/{path.relative_to(folder)}"
        if path.is_dir():
            found.append(Entry(name, mode=path.stat().st_mode & 0o777))
        elif path.is_file():
            found.append(Entry(name, source=path, mode=path.stat().st_mode & 0o777))
    return found


def _config(layers: list[str]) -> dict[str, object]:
    machine = platform.machine()
    run = {
        "Env": [system_images.PATH, "container=docker"],
        "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
        # systemd ends on this one; SIGTERM makes it execute itself again.
        "StopSignal": "SIGRTMIN+3",
    }
    rootfs = {"type": "layers", "diff_ids": layers}
    architecture = ARCHITECTURES.get(machine, machine)
    return {"architecture": architecture, "os": "linux", "config": run, "rootfs": rootfs}


def _key(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
