"""The users' images in the registry of one cluster.

A file in the cluster's folder lists them, since the registry keeps manifests in memory only: after its restart they are
sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from harness.cluster.local import containerd, registry
from harness.cluster.local.control_plane import REGISTRY_FOLDER
from harness.cluster.local.locks import locked
from harness.cluster.local.namespaces import Namespaces
from harness.cluster.local.oci import BlobStore, Descriptor
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import Plan
from harness.cluster.local.supply.references import Reference
from harness.cluster.local.supply.store import StoredImage
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress

FILE = "loaded-images.json"
LOCK_SECONDS = 300.0


class LoadedImages:
    """The images that were loaded into one cluster."""

    def __init__(self, plan: Plan, paths: ClusterPaths) -> None:
        self._plan = plan
        self._paths = paths
        self._file = paths.root / FILE

    def load(self, image: StoredImage, blobs: BlobStore, control: Namespaces, progress: Progress) -> None:
        """Add an image to the cluster's registry, and let all nodes pull it. Raises ClusterBroken."""
        node = self._paths.node(self._plan.control_plane.role)
        waiting = "another process is loading images into the cluster: waiting for it"
        with locked(f"images-{self._plan.cluster}", progress, waiting, LOCK_SECONDS):
            try:
                registry.push(image, blobs, node, control)
            except OSError as error:
                raise ClusterBroken(f"{image.name} could not be loaded into the cluster's registry: {error}") from error
            self._point_nodes(Reference.parse(image.name).host)
            self._write({**dict(self._read()), image.name: image.descriptor})

    def names(self) -> frozenset[str]:
        """Return the whole references of the images. Raises ClusterBroken."""
        return frozenset(name for name, _ in self._read())

    def publish(self, control: Namespaces) -> None:
        """Send all manifests to the registry again. Raises OSError until it listens, ClusterBroken."""
        folder = self._paths.node(self._plan.control_plane.role).root / REGISTRY_FOLDER.lstrip("/")
        for name, root in self._read():
            registry.send(name, root, BlobStore(folder), control)

    def _point_nodes(self, host: str) -> None:
        text = containerd.registry_hosts(self._plan.registry, host)
        for node in self._plan.nodes:
            file = self._paths.node(node.role).config / "registries" / host / "hosts.toml"
            if file.exists() and file.read_text(encoding="utf-8") == text:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            # In one step, since containerd reads it at every pull.
            new = file.with_suffix(".new")
            new.write_text(text, encoding="utf-8")
            new.replace(file)

    def _read(self) -> Iterator[tuple[str, Descriptor]]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            yield from [(name, Descriptor(**entry)) for name, entry in found.items()]
        except FileNotFoundError:
            return
        except (ValueError, TypeError, AttributeError) as error:
            raise ClusterBroken(f"{self._file} is damaged: {error}") from error

    def _write(self, images: dict[str, Descriptor]) -> None:
        new: Path = self._file.with_suffix(".new")
        new.write_text(json.dumps({name: asdict(root) for name, root in images.items()}, indent=2), encoding="utf-8")
        new.replace(self._file)
