"""Filling the cluster's registry. It keeps blobs on disk but manifests in memory, so they are sent at every start."""

from __future__ import annotations

import http.client
import urllib.parse

from harness.cluster.local.control_plane import REGISTRY_FOLDER
from harness.cluster.local.images import ImageSet
from harness.cluster.local.namespaces import Namespaces
from harness.cluster.local.paths import NodePaths
from harness.cluster.local.plan import REGISTRY_PORT
from harness.cluster.local.sockets import connect
from harness.errors import ClusterBroken


def link_blobs(images: ImageSet, control_plane: NodePaths) -> None:
    """Put all blobs where the registry looks for them. Before its start."""
    images.link_blobs(control_plane.root / REGISTRY_FOLDER.lstrip("/"))


def publish(images: ImageSet, namespaces: Namespaces) -> None:
    """Send all manifests to the registry in the control plane's network. Raises OSError until it listens."""
    connection = http.client.HTTPConnection("127.0.0.1", REGISTRY_PORT)
    connection.sock = connect(namespaces.network, ("127.0.0.1", REGISTRY_PORT))
    try:
        for name, manifest in images.manifests().items():
            version = images.version(name)
            path = f"/v2/{urllib.parse.quote(name)}/manifests/{urllib.parse.quote(version)}"
            connection.request("PUT", path, images.blob(manifest), {"Content-Type": manifest.media_type})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 300:
                raise ClusterBroken(
                    f"the registry refuses {name}:{version}: {answer.status} {body.decode(errors='replace')}"
                )
    finally:
        connection.close()
