"""Servers in a local cluster that scheduled runs use: one for S3, and one for Git over HTTP."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from minio import Minio
from urllib3.exceptions import HTTPError

from harness.cluster.kube.resources import DEPLOYMENTS
from harness.cluster.kube.services import node_port
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.supply.build import Recipe, build
from harness.cluster.local.supply.store import ImageStore
from harness.common.clock import SystemClock
from harness.common.timeouts import WORKLOAD_READY
from harness.common.waiting import wait_until
from harness.safety.guard.policy import OPT_IN_LABEL
from tests import s3_server

NAMESPACE = "selftest-servers"
S3_IMAGE, GIT_IMAGE = "selftest/s3:1", "selftest/git:1"
S3_PORT, GIT_PORT = 9000, 8080
S3_URL = f"http://s3.{NAMESPACE}.svc:{S3_PORT}"
GIT_URL = f"http://git.{NAMESPACE}.svc:{GIT_PORT}/cgi-bin/git/project.git"
BUCKET = "reports"
_CGI = """\
#!/bin/sh
export GIT_PROJECT_ROOT=/srv/git GIT_HTTP_EXPORT_ALL=1
exec /usr/bin/git http-backend
"""


def start_s3(cluster: LocalCluster, folder: Path, progress: Callable[[str], None]) -> Minio:
    """Start a server with an empty bucket, and return a client on this machine."""
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(s3_server.program(), folder / "bin/s3-server")
    recipe = Recipe(folder, S3_IMAGE, cmd=("/bin/s3-server", f"0.0.0.0:{S3_PORT}"))
    _start(cluster, "s3", recipe, S3_PORT, progress)
    outside = {"type": "NodePort", "selector": {"app": "s3"}, "ports": [{"port": S3_PORT}]}
    metadata = {"name": "s3-outside", "namespace": NAMESPACE}
    cluster.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": outside})
    address = cluster.loopback(node_port(cluster.api, "s3-outside", NAMESPACE))
    client = Minio(f"{address.host}:{address.port}", "key", "secret", secure=False)

    def make() -> tuple[bool | None, str]:
        try:
            client.make_bucket(BUCKET)
        except HTTPError as error:
            return None, str(error)
        return True, ""

    # The nodes need a moment to forward a new port.
    wait_until("the bucket", make, WORKLOAD_READY, SystemClock(), every=1.0)
    return client


def start_git(cluster: LocalCluster, project: Path, folder: Path, progress: Callable[[str], None]) -> None:
    """Commit the files of a project, and start a server of a clone of it; its image also has sh and git for a pod."""
    git = ["git", "-c", "user.name=selftest", "-c", "user.email=selftest@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Experiments"]):
        subprocess.run([*git, *words], cwd=project, check=True)
    (folder / "srv/git").mkdir(parents=True)
    subprocess.run([*git, "clone", "-q", "--bare", str(project), str(folder / "srv/git/project.git")], check=True)
    script = folder / "srv/www/cgi-bin/git"
    script.parent.mkdir(parents=True)
    script.write_text(_CGI)
    script.chmod(0o755)
    command = ("busybox", "httpd", "-f", "-p", str(GIT_PORT), "-h", "/srv/www")
    recipe = Recipe(folder, GIT_IMAGE, base="debian", packages=("git", "busybox"), cmd=command)
    _start(cluster, "git", recipe, GIT_PORT, progress)


def remove_images() -> None:
    """Remove the images of the servers from this machine's store."""
    ImageStore.of_cache().remove([S3_IMAGE, GIT_IMAGE])


def _start(cluster: LocalCluster, name: str, recipe: Recipe, port: int, progress: Callable[[str], None]) -> None:
    cluster.load_stored([build(recipe, ImageStore.of_cache(), progress)], progress)
    labels = {"app": name}
    container = {"name": name, "image": recipe.name, "readinessProbe": {"tcpSocket": {"port": port}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "namespace": NAMESPACE}
    service = {"selector": labels, "ports": [{"name": "http", "port": port}]}
    for item in (
        # A game day may send load to it.
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {OPT_IN_LABEL: "true"}}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ):
        cluster.api.apply(item)

    def look() -> tuple[bool | None, str]:
        found = cluster.api.get(DEPLOYMENTS, name, NAMESPACE).get("status") or {}
        return (True if found.get("readyReplicas") else None), str(found)

    wait_until(f"the server {name}", look, WORKLOAD_READY, SystemClock(), every=1.0)
