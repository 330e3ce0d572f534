"""The images of the local cluster, made of the built programs and busybox, and how the registry gets to serve them.

Every image has a shell and the busybox applets, as the upstream images of the same programs have (or should have, when
something goes wrong in them): experiments run ``kill``, ``nslookup`` and ``wget`` in their containers.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cluster.local import binaries as programs
from harness.cluster.local.binaries import OWN, Binaries
from harness.cluster.local.locks import locked
from harness.cluster.local.oci import BlobStore, Descriptor, Entry
from harness.cluster.local.paths import cache_root
from harness.cluster.local.progress import Progress
from harness.errors import CapabilityMissing, ClusterBroken

REGISTRY_HOST = "resilience.local"
BUSYBOX = Path("/bin/busybox")
NOBODY = 65532
APP = 1000
INDEX = "images.json"
# Reaps orphans (for pods that share their process namespace) and sleeps; one Go program per pod would cost 10 MB each.
PAUSE = 'trap "exit 0" TERM INT; sleep 2147483647 & while kill -0 $!; do wait $!; done'


@dataclass(frozen=True, slots=True)
class Image:
    """An image to make: files of built programs by their place in it, and how it runs."""

    name: str
    version: str
    programs: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    user: int = 0
    folder: str = "/"

    @property
    def reference(self) -> str:
        """What a pod asks for."""
        return f"{REGISTRY_HOST}/{self.name}:{self.version}"

    @property
    def run(self) -> dict[str, Any]:
        """The ``config`` part of the image's configuration."""
        run: dict[str, Any] = {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": self.folder,
        }
        if self.entrypoint:
            run["Entrypoint"] = list(self.entrypoint)
        if self.arguments:
            run["Cmd"] = list(self.arguments)
        if self.user:
            run["User"] = f"{self.user}:{self.user}"
        return run


def catalogue(versions: Mapping[str, str]) -> tuple[Image, ...]:
    """All images, with the versions of the programs in them."""

    def tool(name: str, place: str, arguments: tuple[str, ...] = (), user: int = NOBODY) -> Image:
        return Image(name, versions[name], {place: name}, (place,), arguments, user)

    return (
        Image("busybox", versions["busybox"], arguments=("sh",)),
        Image("pause", versions["busybox"], entrypoint=("/bin/sh", "-c", PAUSE), user=NOBODY),
        Image(
            "podinfo",
            versions["podinfo"],
            {"/home/app/podinfo": "podinfo"},
            arguments=("./podinfo",),
            user=APP,
            folder="/home/app",
        ),
        Image(
            "etcd",
            versions["etcd"],
            {"/usr/local/bin/etcd": "etcd", "/usr/local/bin/etcdctl": "etcdctl"},
            arguments=("/usr/local/bin/etcd",),
        ),
        tool("agnhost", "/agnhost", ("pause",), user=0),
        tool("coredns", "/coredns"),
        tool("metrics-server", "/metrics-server"),
        tool("prometheus", "/bin/prometheus"),
        tool("local-path-provisioner", "/usr/local/bin/local-path-provisioner"),
        tool("calibration", "/calibration"),
    )


class ImageSet:
    """The images as made: blobs on disk, and an index of names, versions and manifests."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._index: dict[str, dict[str, Any]] = json.loads((root / INDEX).read_text())

    def reference(self, name: str) -> str:
        """What a pod asks for. Raises CapabilityMissing for a name that is not among the images."""
        if name not in self._index:
            known = ", ".join(sorted(self._index))
            raise CapabilityMissing(f"there is no image {name!r} among those of the local cluster ({known})")
        return f"{REGISTRY_HOST}/{name}:{self._index[name]['version']}"

    def manifests(self) -> dict[str, Descriptor]:
        """The manifest of every image by its name."""
        return {
            name: Descriptor(entry["mediaType"], entry["digest"], entry["size"]) for name, entry in self._index.items()
        }

    def version(self, name: str) -> str:
        """The version of an image."""
        return str(self._index[name]["version"])

    def blob(self, descriptor: Descriptor) -> bytes:
        """The content of a small blob."""
        return BlobStore(self._root).path(descriptor.digest).read_bytes()

    def files(self, manifest: Descriptor) -> list[Path]:
        """The files of one image's blobs: manifest, configuration and layers."""
        body = json.loads(self.blob(manifest))
        digests = [manifest.digest, *(part["digest"] for part in [body["config"], *body["layers"]])]
        return [BlobStore(self._root).path(digest) for digest in digests]

    def blobs(self) -> list[Path]:
        """The files of all blobs."""
        return sorted((self._root / "sha256").iterdir())

    def link_blobs(self, folder: Path) -> None:
        """Give a registry's folder all blobs, without copying where the file system allows."""
        target = folder / "sha256"
        target.mkdir(parents=True, exist_ok=True)
        for blob in self.blobs():
            try:
                os.link(blob, target / blob.name)
            except FileExistsError:
                continue
            except OSError:
                shutil.copyfile(blob, target / blob.name)


def ensure(binaries: Binaries, progress: Progress) -> Path:
    """Make the images unless they are in the cache. Returns the folder for ``ImageSet``. Raises ClusterBroken."""
    own = programs.ensure(progress, components=OWN)
    images = catalogue({**binaries.versions, **own.versions, "busybox": busybox_version()})
    root = cache_root() / "images" / _key(images, [binaries.folder, own.folder])
    if (root / INDEX).exists():
        return root
    with locked("images", progress, "another process is making the images: waiting for it"):
        if not (root / INDEX).exists():
            progress(f"making {len(images)} images")
            _make(images, [binaries.folder, own.folder], root)
    return root


def busybox_version() -> str:
    """The version of the machine's static busybox. Raises ClusterBroken when it does not say."""
    done = subprocess.run([str(BUSYBOX)], check=False, capture_output=True, text=True)
    match = re.search(r"BusyBox v(\S+)", done.stdout)
    if not match:
        raise ClusterBroken(f"{BUSYBOX} does not tell its version: {done.stdout[:100]!r}")
    return match[1]


def _key(images: tuple[Image, ...], folders: Sequence[Path]) -> str:
    content = hashlib.sha256()
    for part in (str(images), *map(str, folders), PAUSE, *_base_texts().values()):
        content.update(part.encode())
    content.update(BUSYBOX.read_bytes())
    return content.hexdigest()[:16]


def _make(images: tuple[Image, ...], folders: Sequence[Path], root: Path) -> None:
    blobs = BlobStore(root)
    base = blobs.add_layer(_base_entries())
    machine = platform.machine()
    index = {}
    for image in images:
        layers: list[Descriptor] = [base]
        if image.programs:
            layers.append(blobs.add_layer(_program_entries(image, folders)))
        manifest = blobs.add_image(layers, image.run, machine)
        index[image.name] = {"version": image.version, **manifest.as_json()}
    # The index is what says that the set is whole, so it is the last to appear.
    new = root / f"{INDEX}.new"
    new.write_text(json.dumps(index, indent=2, sort_keys=True))
    new.replace(root / INDEX)


def _program_entries(image: Image, binaries: Sequence[Path]) -> list[Entry]:
    folders = {parent for place in image.programs for parent in list(Path(place).parents)[:-1]}
    entries = [Entry(str(folder).lstrip("/"), owner=image.user) for folder in sorted(folders)]
    return entries + [
        Entry(place.lstrip("/"), source=next(folder / program for folder in binaries if (folder / program).exists()))
        for place, program in sorted(image.programs.items())
    ]


def _base_texts() -> dict[str, str]:
    return {
        "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\napp:x:{APP}:{APP}:app:/home/app:/bin/sh\n"
        f"nonroot:x:{NOBODY}:{NOBODY}:nonroot:/tmp:/bin/sh\n",
        "etc/group": f"root:x:0:\napp:x:{APP}:\nnonroot:x:{NOBODY}:\n",
        "etc/nsswitch.conf": "hosts: files dns\n",
    }


def busybox_applets() -> list[str]:
    """The names under which busybox can be called."""
    listed = subprocess.run([str(BUSYBOX), "--list"], check=True, capture_output=True, text=True)
    return sorted(set(listed.stdout.split()) - {"busybox"})


def _base_entries() -> list[Entry]:
    folders = [Entry(path) for path in ("bin", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var")]
    temporary = [Entry(path, mode=0o1777) for path in ("tmp", "var/tmp")]
    texts = [Entry(path, text=text, mode=0o644) for path, text in _base_texts().items()]
    links = [Entry(f"bin/{applet}", link="busybox", mode=0o777) for applet in busybox_applets()]
    more = [Entry("usr/bin/env", link="/bin/busybox", mode=0o777)]
    return [*folders, *temporary, *texts, Entry("bin/busybox", source=BUSYBOX), *links, *more]
