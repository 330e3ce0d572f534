"""The images of the local cluster, built from the compiled programs and busybox, for the cluster's registry.

Every image has a shell and the busybox applets, since experiments run ``kill``, ``nslookup`` and ``wget`` in their
containers; not all upstream images of the same programs have them.
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

from harness.cluster.components import OWN
from harness.cluster.local import binaries as programs
from harness.cluster.local.binaries import Binaries
from harness.cluster.local.locks import locked
from harness.cluster.local.oci import BlobStore, Descriptor, Entry
from harness.cluster.local.paths import cache_root
from harness.cluster.local.supply.references import whole_reference
from harness.common.errors import CapabilityMissing, ClusterBroken
from harness.common.progress import Progress

REGISTRY_HOST = "resilience.local"
BUSYBOX = Path("/bin/busybox")
# The number of the user "nonroot" in distroless images, which many upstream images are based on.
NONROOT = 65532
APP = 1000
INDEX = "images.json"
# Reaps orphans (for pods with a shared process namespace) and sleeps. A Go program instead would use 10 MB per pod.
PAUSE = 'trap "exit 0" TERM INT; sleep 2147483647 & while kill -0 $!; do wait $!; done'


@dataclass(frozen=True, slots=True)
class Image:
    """An image to build. ``programs`` are the names of built programs by their paths in the image."""

    name: str
    version: str
    programs: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    user: int = 0
    folder: str = "/"

    @property
    def reference(self) -> str:
        """The reference for a pod's spec."""
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
    """Return all images, with the versions of the programs in them."""

    def tool(name: str, place: str, arguments: tuple[str, ...] = (), user: int = NONROOT) -> Image:
        return Image(name, versions[name], {place: name}, (place,), arguments, user)

    return (
        Image("busybox", versions["busybox"], arguments=("sh",)),
        Image("pause", versions["busybox"], entrypoint=("/bin/sh", "-c", PAUSE), user=NONROOT),
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
        tool("storage-provisioner", "/storage-provisioner", user=0),
        tool("calibration", "/calibration"),
        tool("cpu-burner", "/cpu-burner"),
    )


class ImageSet:
    """The built images: blobs on disk, and an index of names, versions and manifests."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._index: dict[str, dict[str, Any]] = json.loads((root / INDEX).read_text())

    def reference(self, name: str) -> str:
        """Return the reference for a pod's spec. Raises CapabilityMissing for an unknown name."""
        if name not in self._index:
            known = ", ".join(sorted(self._index))
            raise CapabilityMissing(f"the local cluster has no image {name!r}, expected one of {known}")
        return f"{REGISTRY_HOST}/{name}:{self._index[name]['version']}"

    def serves(self, reference: str) -> bool:
        """Return whether a registry with these images serves a reference; the registry in the reference is ignored."""
        # The registry's host is ignored because containerd on the nodes sends pulls from every registry to this one.
        path, _, rest = whole_reference(reference).partition("/")[2].partition("@")
        name, _, tag = path.rpartition(":") if ":" in path else (path, "", "")
        found = self._index.get(name)
        return found is not None and (found["digest"] == rest if rest else found["version"] == tag)

    def manifests(self) -> dict[str, Descriptor]:
        """Return the manifest of every image by its name."""
        return {
            name: Descriptor(entry["mediaType"], entry["digest"], entry["size"]) for name, entry in self._index.items()
        }

    def version(self, name: str) -> str:
        """Return the version of an image."""
        return str(self._index[name]["version"])

    def blob(self, descriptor: Descriptor) -> bytes:
        """Return the content of a small blob."""
        return BlobStore(self._root).path(descriptor.digest).read_bytes()

    def files(self, manifest: Descriptor) -> list[Path]:
        """Return the files of one image's blobs: manifest, configuration and layers."""
        body = json.loads(self.blob(manifest))
        digests = [manifest.digest, *(part["digest"] for part in [body["config"], *body["layers"]])]
        return [BlobStore(self._root).path(digest) for digest in digests]

    def blobs(self) -> list[Path]:
        """Return the files of all blobs."""
        return sorted((self._root / "sha256").iterdir())

    def link_blobs(self, folder: Path) -> None:
        """Hard-link all blobs into a registry's folder, or copy them if links are not possible."""
        target = folder / "sha256"
        target.mkdir(parents=True, exist_ok=True)
        for blob in self.blobs():
            link_or_copy(blob, target / blob.name)


def link_or_copy(file: Path, target: Path) -> None:
    """Hard-link a file that never changes, or copy it if links are not possible; an existing target stays."""
    try:
        os.link(file, target)
    except FileExistsError:
        return
    except OSError:
        # Moved into place when complete, since a registry may read the folder at any time.
        new = target.with_name(f".{target.name}.{os.getpid()}.new")
        shutil.copyfile(file, new)
        new.replace(target)


def were_built() -> bool:
    """Return whether this machine has built the harness's images before, in any version."""
    return any((cache_root() / "images").glob(f"*/{INDEX}"))


def ensure(binaries: Binaries, progress: Progress) -> Path:
    """Build the images unless they are in the cache, and return the folder for ``ImageSet``. Raises ClusterBroken."""
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
    """Return the version of the machine's static busybox. Raises ClusterBroken if its output has none."""
    done = subprocess.run([str(BUSYBOX)], check=False, capture_output=True, text=True)
    match = re.search(r"BusyBox v(\S+)", done.stdout)
    if not match:
        raise ClusterBroken(f"found no version in the output of {BUSYBOX}: {done.stdout[:100]!r}")
    return match[1]


def _key(images: tuple[Image, ...], folders: Sequence[Path]) -> str:
    content = hashlib.sha256()
    for part in (str(images), *map(str, folders), PAUSE, *_base_texts().values()):
        content.update(part.encode())
    content.update(BUSYBOX.read_bytes())
    return content.hexdigest()[:16]


def _make(images: tuple[Image, ...], folders: Sequence[Path], root: Path) -> None:
    blobs = BlobStore(root)
    base = blobs.add_layer(base_entries())
    machine = platform.machine()
    index = {}
    for image in images:
        manifest = add_image(blobs, image, folders, base, machine)
        index[image.name] = {"version": image.version, **manifest.as_json()}
    # Written last: the index marks the set as complete.
    new = root / f"{INDEX}.new"
    new.write_text(json.dumps(index, indent=2, sort_keys=True))
    new.replace(root / INDEX)


def add_image(blobs: BlobStore, image: Image, folders: Sequence[Path], base: Descriptor, machine: str) -> Descriptor:
    """Add an image to the blobs, with its programs from ``folders`` above the layer ``base``; return its manifest."""
    layers = [base]
    if image.programs:
        layers.append(blobs.add_layer(_program_entries(image, folders)))
    return blobs.add_image(layers, image.run, machine)


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
        f"nonroot:x:{NONROOT}:{NONROOT}:nonroot:/tmp:/bin/sh\n",
        "etc/group": f"root:x:0:\napp:x:{APP}:\nnonroot:x:{NONROOT}:\n",
        "etc/nsswitch.conf": "hosts: files dns\n",
    }


def busybox_applets() -> list[str]:
    """Return the names of all busybox applets."""
    listed = subprocess.run([str(BUSYBOX), "--list"], check=True, capture_output=True, text=True)
    return sorted(set(listed.stdout.split()) - {"busybox"})


def base_entries() -> list[Entry]:
    """Return the entries of the base layer: busybox with all of its applets, and the files that programs expect."""
    folders = [Entry(path) for path in ("bin", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var")]
    temporary = [Entry(path, mode=0o1777) for path in ("tmp", "var/tmp")]
    texts = [Entry(path, text=text, mode=0o644) for path, text in _base_texts().items()]
    links = [Entry(f"bin/{applet}", link="busybox", mode=0o777) for applet in busybox_applets()]
    more = [Entry("usr/bin/env", link="/bin/busybox", mode=0o777)]
    return [*folders, *temporary, *texts, Entry("bin/busybox", source=BUSYBOX), *links, *more]
