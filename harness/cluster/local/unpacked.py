"""The images unpacked by containerd, prepared once, so that no boot has to pull and unpack them.

containerd itself writes the folder: it is started briefly in separate namespaces and imports the images. Each node then
gets a copy. All of its files except the databases are hard links: content and unpacked layers never change, since
containers write to additional layers. If hard links are not possible, nodes pull from the registry as usual.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.cluster.local import containerd
from harness.cluster.local.archive import write_archive
from harness.cluster.local.images import ImageSet
from harness.cluster.local.locks import locked
from harness.cluster.local.processes import run
from harness.common.progress import Progress

# $1 working folder with config.toml and images.tar, $2 snapshotter. Runs in a separate process namespace, so that
# containerd ends with the script in every case.
IMPORT = """
set -e
mkdir "$1/run" "$1/root"
mount -t tmpfs run "$1/run"
mkdir "$1/run/work"
mount --bind "$1" "$1/run/work"
mount --no-mtab --move "$1/run" /run
containerd --config /run/work/config.toml > /run/work/log 2>&1 &
tries=0
until ctr version > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { cat /run/work/log >&2; exit 1; }
    sleep 0.05
done
ctr --namespace k8s.io images import --snapshotter "$2" /run/work/images.tar > /dev/null
kill $!
wait $! || true
"""


def folder_of(images: Path, snapshotter: str) -> Path:
    """Return the folder of the unpacked images, whether it exists or not."""
    return images / f"unpacked-{snapshotter}"


def ensure(images: Path, snapshotter: str, progress: Progress) -> None:
    """Unpack the images if they are not unpacked yet. Raises ClusterBroken."""
    folder = folder_of(images, snapshotter)
    if folder.exists():
        return
    with locked("images", progress, "another process is unpacking the images: waiting for it"):
        if not folder.exists():
            progress("unpacking the images")
            _make(images, snapshotter, folder)


def give(unpacked: Path, node_var: Path) -> bool:
    """Link the images into a node before its containerd starts; return False if that is impossible and it must pull."""
    target = node_var / "lib/containerd"
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hard links cannot cross file systems.
    if unpacked.stat().st_dev != target.parent.stat().st_dev:
        return False
    run(["cp", "--archive", "--link", str(unpacked), str(target)], f"link the images to {target}")
    # containerd changes its databases in place, and a hard link would change those of all nodes.
    for database in unpacked.rglob("*.db"):
        own = target / database.relative_to(unpacked)
        own.unlink()
        shutil.copy2(database, own)
    return True


def _make(images: Path, snapshotter: str, folder: Path) -> None:
    work = images / f".unpacking-{os.getpid()}"
    # Left by processes that were killed: the lock excludes one that is running.
    for abandoned in images.glob(".unpacking-*"):
        shutil.rmtree(abandoned)
    work.mkdir()
    pause = ImageSet(images).reference("pause")
    text = containerd.config(pause, snapshotter, may_lower_oom_score=True)
    (work / "config.toml").write_text(text.replace(containerd.ROOT, "/run/work/root"))
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    write_archive(ImageSet(images), ImageSet(images).manifests(), work / "images.tar")
    run([*command, "sh", "-c", IMPORT, "sh", str(work), snapshotter], "unpack the images")
    _share_blobs(images, work / "root")
    # Last, so that the folder appears only when it is complete.
    (work / "root").rename(folder)
    shutil.rmtree(work)


def _share_blobs(images: Path, root: Path) -> None:
    """Replace containerd's copies of the blobs by hard links to the cached ones, to store them only once."""
    for copy in (root / "io.containerd.content.v1.content/blobs/sha256").iterdir():
        own = images / "sha256" / copy.name
        if own.exists():
            copy.unlink()
            copy.hardlink_to(own)
