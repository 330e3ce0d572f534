"""The images that kubeadm wants in a node before anything runs, as the content store of the node's containerd.

kind's own node images carry them the same way: imported without unpacking, so that a node unpacks only what it runs.
"""

from __future__ import annotations

import io
import json
import platform
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.local.binaries import Binaries
from harness.cluster.local.images import ImageSet
from harness.cluster.local.oci import BlobStore, Descriptor, Entry
from harness.cluster.local.processes import run
from tests.live.kindhost import debian_root

# kube-proxy calls iptables, which loads a module for every kind of match, each with libraries of its own: an image
# without one of them lets Services fail without a word while all nodes are Ready.
PROXY_PACKAGES = (
    *("iptables", "conntrack", "libc6", "libxtables12", "libip4tc2", "libip6tc2", "libmnl0", "libnftnl11"),
    *("libnfnetlink0", "libnetfilter-conntrack3", "libbpf1", "libelf1", "zlib1g", "libzstd1"),
)
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# $1 working folder with images.tar. The process namespace ends containerd with the script, however that ends.
IMPORT = """
set -e
cat > "$1/config.toml" <<CONFIG
version = 2
root = "$1/root"
state = "$1/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$1/socket"
CONFIG
containerd --config "$1/config.toml" > "$1/log" 2>&1 &
tries=0
until ctr --address "$1/socket" version > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { cat "$1/log" >&2; exit 1; }
    sleep 0.05
done
ctr --address "$1/socket" --namespace k8s.io images import --no-unpack "$1/images.tar" > /dev/null
kill $!
wait $! || true
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node image is made of: a Debian root, the built programs, and the images of the local cluster."""

    root: Path
    kubernetes: Binaries
    kubeadm: Path
    blobs: Path

    @property
    def ours(self) -> ImageSet:
        return ImageSet(self.blobs)

    @property
    def version(self) -> str:
        """Of Kubernetes, with its ``v``."""
        return f"v{self.kubernetes.versions['kubelet']}"

    def references(self) -> list[str]:
        """The images that kubeadm wants."""
        command = [str(self.kubeadm), "config", "images", "list", "--kubernetes-version", self.version]
        return run(command, "ask kubeadm for its images").split()


def store(parts: Parts, work: Path) -> Path:
    """The folder of a containerd that has all images, made below ``work``."""
    made, ours = BlobStore(work / "images"), parts.ours
    described = dict(_kubeadm_images(made, parts, work))
    for name in ("busybox", "storage-provisioner"):
        described[ours.reference(name)] = ours.manifests()[name]
    with tarfile.open(work / "images.tar", "w") as archive:
        files = {blob.name: blob for folder in (parts.blobs, work / "images") for blob in (folder / "sha256").iterdir()}
        for name in sorted(_needed(described.values(), files)):
            archive.add(files[name], f"blobs/sha256/{name}")
        index = [_indexed(reference, descriptor) for reference, descriptor in sorted(described.items())]
        _add(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(archive, "index.json", {"schemaVersion": 2, "manifests": index})
    isolated = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    run([*isolated, "sh", "-c", IMPORT, "sh", str(work)], "import the images of a node")
    return work / "root"


def _kubeadm_images(made: BlobStore, parts: Parts, work: Path) -> Iterable[tuple[str, Descriptor]]:
    proxy = list(_proxy_files(parts.root, work / "proxy"))
    for reference in parts.references():
        name = reference.rsplit("/", 1)[1].split(":")[0]
        if name in {"pause", "etcd"}:
            yield reference, parts.ours.manifests()[name]
            continue
        place = "coredns" if name == "coredns" else f"usr/local/bin/{name}"
        program = Entry(place, source=parts.kubernetes.folder / name)
        layers = [made.add_layer(proxy)] if name == "kube-proxy" else []
        layers.append(made.add_layer([program]))
        yield reference, made.add_image(layers, {"Env": [PATH], "Entrypoint": [f"/{place}"]}, platform.machine())


def _proxy_files(root: Path, folder: Path) -> Iterable[Entry]:
    """iptables and all that it loads, with the top-level links of a merged /usr."""
    with tarfile.open(root) as archive:
        wanted = debian_root.files_of(archive, PROXY_PACKAGES)
        for member in archive:
            top = member.issym() and member.name.count("/") == 1
            if not top and member.name not in wanted:
                continue
            path = member.name.removeprefix("./")
            if member.issym():
                yield Entry(path, link=member.linkname, mode=0o777)
            elif member.isfile():
                archive.extract(member, folder, filter="fully_trusted")
                yield Entry(path, source=folder / member.name, mode=member.mode)
    # Which of the two the daemon's rules are in, as they meet in the same kernel: kind's entrypoint looks likewise.
    kind = "nft" if "nf_tables" in run(["iptables", "--version"], "ask iptables for its version") else "legacy"
    for program in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            yield Entry(f"usr/sbin/{program}{suffix}", link=f"xtables-{kind}-multi", mode=0o777)


def _needed(manifests: Iterable[Descriptor], files: dict[str, Path]) -> set[str]:
    found: set[str] = set()
    for descriptor in manifests:
        name = descriptor.digest.removeprefix("sha256:")
        body = json.loads(files[name].read_bytes())
        parts = [body["config"], *body["layers"]]
        found |= {name, *(part["digest"].removeprefix("sha256:") for part in parts)}
    return found


def _indexed(reference: str, descriptor: Descriptor) -> dict[str, object]:
    return {**descriptor.as_json(), "annotations": {"io.containerd.image.name": reference}}


def _add(archive: tarfile.TarFile, name: str, content: dict[str, object]) -> None:
    body = json.dumps(content).encode()
    member = tarfile.TarInfo(name)
    member.size = len(body)
    archive.addfile(member, io.BytesIO(body))
