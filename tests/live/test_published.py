"""Applications in the shape in which others publish them, from their own manifests to verdicts.

The images have the names that the manifests give, but other contents: programs of Debian and of this project. No file
of those applications is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cluster.local import binaries, commands

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
ROOT = Path(__file__).parents[2]
PUBLISHED = Path(__file__).parent / "published"
NAME = "selftest-published"
BOUTIQUE = "us-central1-docker.pkg.dev/google-samples/microservices-demo"
GRPC = ("email", "checkout", "recommendation", "payment", "productcatalog", "cart", "currency", "shipping", "ad")


@dataclass(frozen=True)
class Image:
    """One image to build: its name, the folder with its files (empty: none), and the options of the command."""

    tag: str
    folder: str
    options: tuple[str, ...]


def _debian(packages: str, *options: str) -> tuple[str, ...]:
    return ("--base", "debian", "--packages", packages, *options)


WEB = _debian("apache2,libapache2-mod-php", "--entrypoint", "apache2ctl -D FOREGROUND", "--port", "80")
REDIS = "redis-server --protected-mode no"
IMAGES = {
    "php-apache": (Image("registry.k8s.io/hpa-example", "php-apache/image", WEB),),
    "guestbook": (
        Image("us-docker.pkg.dev/google-samples/containers/gke/gb-frontend:v5", "guestbook/frontend", WEB),
        Image("docker.io/redis:6.0.5", "", _debian("redis-server", "--entrypoint", REDIS)),
        Image(
            "us-docker.pkg.dev/google-samples/containers/gke/gb-redis-follower:v2",
            "",
            _debian("redis-server", "--entrypoint", f"{REDIS} --replicaof redis-leader 6379"),
        ),
    ),
    "boutique": (
        *(
            Image(
                f"{BOUTIQUE}/{name}service:v0.10.3",
                "grpc",
                ("--entrypoint", "sh -c 'exec /podinfo --port=9890 --grpc-port=$PORT --level=warn'", "--user", "1000"),
            )
            for name in GRPC
        ),
        Image(
            f"{BOUTIQUE}/frontend:v0.10.3",
            "boutique/web",
            ("--entrypoint", "busybox httpd -f -p 8080 -h /www", "--user", "1000"),
        ),
        Image("redis:alpine", "", _debian("redis-server", "--entrypoint", REDIS)),
    ),
    "podinfo-chart": (
        Image(
            "ghcr.io/stefanprodan/podinfo:6.9.2",
            "podinfo-chart/image",
            ("--cmd", "./podinfo", "--workdir", "/home/app", "--user", "1000"),
        ),
    ),
    "bitnami-style": (
        Image(
            "docker.io/bitnami/nginx:1.27.3-debian-12-r0",
            "bitnami-style/image",
            _debian("nginx-light", "--entrypoint", "nginx -c /etc/nginx/nginx.conf", "--user", "1001"),
        ),
    ),
    "zookeeper": (
        Image(
            "registry.k8s.io/kubernetes-zookeeper:1.0-3.4.10",
            "zookeeper/image",
            _debian("zookeeper,default-jre-headless,netcat-openbsd", "--user", "1000", "--cmd", "start-zookeeper"),
        ),
    ),
}


def _harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """A folder that also has the files of the images that are made of this project's programs."""
    folder = tmp_path / "published"
    shutil.copytree(PUBLISHED, folder)
    podinfo = binaries.ensure(lambda _message: None).folder / "podinfo"
    for place in ("grpc", "podinfo-chart/image/home/app"):
        (folder / place).mkdir(parents=True)
        shutil.copy2(podinfo, folder / place)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def images(image_folder: Path, application: str) -> Iterator[None]:
    """The images of an application, in the image store while the test runs."""
    made = IMAGES[application]
    try:
        for image in made:
            folder = str(image_folder / (image.folder or "empty"))
            done = _harness("image", "build", folder, "--tag", image.tag, *image.options)
            assert done.returncode == 0, done.stderr
        yield
    finally:
        _harness("image", "rm", *(image.tag for image in made))


@pytest.mark.parametrize("application", list(IMAGES))
@pytest.mark.usefixtures("images")
def test_published_application_holds_and_its_twin_breaks(application: str, tmp_path: Path) -> None:
    # Three workers: ZooKeeper's members want a node each.
    options = ["--cluster=local", f"--cluster-name={NAME}", "--cluster-nodes=3", "--twins"]
    options.append(f"--report-dir={tmp_path / 'reports'}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(PUBLISHED / application)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        commands.down(NAME)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
