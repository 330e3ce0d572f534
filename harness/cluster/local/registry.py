"""Fills the cluster's registry. It keeps blobs on disk but manifests in memory, so these are sent at every start."""

from __future__ import annotations

import http.client
import urllib.parse
from contextlib import closing

from harness.cluster.local.control_plane import REGISTRY_FOLDER
from harness.cluster.local.images import ImageSet, link_or_copy
from harness.cluster.local.namespaces import Namespaces
from harness.cluster.local.oci import BlobStore, Descriptor
from harness.cluster.local.paths import NodePaths
from harness.cluster.local.plan import REGISTRY_PORT
from harness.cluster.local.sockets import connect
from harness.cluster.local.supply.references import Reference
from harness.cluster.local.supply.store import StoredImage, files_of, manifests_of
from harness.common.errors import ClusterBroken


def link_blobs(images: ImageSet, control_plane: NodePaths) -> None:
    """Put all blobs into the registry's folder, before it starts."""
    images.link_blobs(control_plane.root / REGISTRY_FOLDER.lstrip("/"))


def publish(images: ImageSet, namespaces: Namespaces) -> None:
    """Send the manifests of the harness's images to the registry. Raises OSError until it listens."""
    with closing(_Registry(namespaces)) as registry:
        for name, manifest in images.manifests().items():
            registry.put(name, images.version(name), images.blob(manifest), manifest.media_type)


def push(image: StoredImage, blobs: BlobStore, control_plane: NodePaths, namespaces: Namespaces) -> None:
    """Add an image to the registry, under its own name and digest. Raises ClusterBroken, OSError."""
    target = BlobStore(control_plane.root / REGISTRY_FOLDER.lstrip("/"))
    for file in files_of(blobs, image.descriptor):
        link_or_copy(file, target.path(file.name))
    send(image.name, image.descriptor, target, namespaces)


def send(name: str, root: Descriptor, blobs: BlobStore, namespaces: Namespaces) -> None:
    """Send the manifests of an image whose blobs the registry has. Raises ClusterBroken, OSError."""
    reference = Reference.parse(name)
    with closing(_Registry(namespaces)) as registry:
        for manifest in manifests_of(blobs, root):
            body = blobs.path(manifest.digest).read_bytes()
            registry.put(reference.repository, manifest.digest, body, manifest.media_type)
        if reference.tag:
            registry.put(reference.repository, reference.tag, blobs.path(root.digest).read_bytes(), root.media_type)


class _Registry:
    """A connection to the registry in the control plane's network."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", REGISTRY_PORT)
        # The connection is dialled in the namespace; http.client uses a socket that is set and does not dial.
        self._connection.sock = connect(namespaces.network, ("127.0.0.1", REGISTRY_PORT))

    def put(self, repository: str, target: str, manifest: bytes, media_type: str) -> None:
        path = f"/v2/{urllib.parse.quote(repository)}/manifests/{urllib.parse.quote(target)}"
        self._connection.request("PUT", path, manifest, {"Content-Type": media_type})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status >= 300:
            raise ClusterBroken(
                f"the registry refused {repository}:{target}: {answer.status} {body.decode(errors='replace')}"
            )

    def close(self) -> None:
        self._connection.close()
