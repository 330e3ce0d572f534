"""The programs of the cluster: what is built from which module, with which version stamped in, and the cache of them.

Everything in the cache has a folder named after what went into it (modules, their checksums, build settings and the
compiler), and every program appears there whole or not at all: two runs at once, a kill at any moment and a deleted
cache are safe.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from harness.clock import Clock, SystemClock
from harness.cluster.local import toolchain
from harness.cluster.local.locks import locked
from harness.cluster.local.paths import cache_root
from harness.cluster.local.progress import Progress
from harness.cluster.local.toolchain import Go
from harness.errors import ClusterBroken

TAGS = "remove_all_sd,enable_kubernetes_sd"
KUBERNETES = "k8s.io/kubernetes"
COMPONENT_VERSION = "k8s.io/component-base/version"
REPORT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Component:
    """One program. ``stamps`` are linker variables; ``{version}``, ``{major}`` and ``{minor}`` are filled in."""

    name: str
    package: str
    module: str
    stamps: tuple[str, ...] = ()
    folder: str = "."
    # Where a module's own version is not the one that people know.
    version: str = ""


KUBERNETES_STAMPS = (
    f"{COMPONENT_VERSION}.gitVersion=v{{version}}",
    f"{COMPONENT_VERSION}.gitMajor={{major}}",
    f"{COMPONENT_VERSION}.gitMinor={{minor}}",
    f"{COMPONENT_VERSION}.gitTreeState=clean",
)


def _kubernetes(name: str) -> Component:
    return Component(name, f"{KUBERNETES}/cmd/{name}", KUBERNETES, KUBERNETES_STAMPS)


# The first holds most of what the others share, so the rest follow quickly.
COMPONENTS = (
    _kubernetes("kube-apiserver"),
    Component("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    Component("etcdctl", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdctl/v3"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    _kubernetes("kubectl"),
    Component("crane", "github.com/google/go-containerregistry/cmd/crane", "github.com/google/go-containerregistry"),
    Component("agnhost", f"{KUBERNETES}/test/images/agnhost", KUBERNETES, KUBERNETES_STAMPS),
    # The module's own version is a commit's; 6.9.2 is what that commit calls itself.
    Component(
        "podinfo", "github.com/stefanprodan/podinfo/cmd/podinfo", "github.com/stefanprodan/podinfo", version="6.9.2"
    ),
    Component("coredns", "github.com/coredns/coredns", "github.com/coredns/coredns"),
    Component(
        "metrics-server",
        "sigs.k8s.io/metrics-server/cmd/metrics-server",
        "sigs.k8s.io/metrics-server",
        ("k8s.io/client-go/pkg/version.gitVersion=v{version}",),
    ),
    # Prometheus 3.x is released as module version 0.3xx.
    Component(
        "prometheus",
        "github.com/prometheus/prometheus/cmd/prometheus",
        "github.com/prometheus/prometheus",
        ("github.com/prometheus/common/version.Version={version}",),
        version="3.13.0",
    ),
    Component(
        "local-path-provisioner",
        "github.com/rancher/local-path-provisioner",
        "github.com/rancher/local-path-provisioner",
        ("main.VERSION=v{version}",),
        folder="local-path",
    ),
)
# For kind without an image registry: what its node image needs beyond the above, and kind itself.
FOR_KIND = (
    _kubernetes("kubeadm"),
    Component("kind", "sigs.k8s.io/kind", "sigs.k8s.io/kind", folder="kind"),
)
# Programs of our own, each a folder of sources beside the modules; apart, so that a change of one builds that one only.
OWN = (Component("calibration", ".", "resilience-harness/calibration", folder="calibration", version="1.0.0"),)


@dataclass(frozen=True, slots=True)
class Binaries:
    """The built programs: their folder, and the version of each by name."""

    folder: Path
    versions: Mapping[str, str]


def modules_folder() -> Path:
    """Where the ``go.mod`` of the components lies."""
    return Path(str(resources.files("harness.cluster.local") / "components"))


def module_versions(go_mod: str) -> dict[str, str]:
    """The version of every module that a ``go.mod`` requires, without its ``v``."""
    required = re.finditer(r"^\s*(?:require\s+)?([\w./~-]+)\s+v([\w.+-]+)", go_mod, re.MULTILINE)
    return {match[1]: match[2].removesuffix("+incompatible") for match in required}


def go_directive(go_mod: str) -> tuple[int, int, int]:
    """The version of Go that a ``go.mod`` asks for. Raises ClusterBroken when it asks for none."""
    match = re.search(r"^go (\S+)", go_mod, re.MULTILINE)
    version = toolchain.parse_version(f"go{match[1]}") if match else None
    if version is None:
        raise ClusterBroken("the components' go.mod has no go directive")
    return version


def versions(components: Sequence[Component] = COMPONENTS) -> dict[str, str]:
    """The version of every component by its name."""
    found = {}
    for component in components:
        text = (modules_folder() / component.folder / "go.mod").read_text()
        found[component.name] = component.version or module_versions(text)[component.module]
    return found


def linker_flags(component: Component, version: str) -> str:
    """What is told to the linker: no symbol tables, and the component's true version."""
    major, minor = version.split(".")[:2]
    stamps = [stamp.format(version=version, major=major, minor=minor) for stamp in component.stamps]
    return " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in stamps)])


def cache_key(go_version: str, components: Sequence[Component] = COMPONENTS) -> str:
    """Names everything that the programs depend on."""
    content = hashlib.sha256(f"{go_version} {TAGS}".encode())
    known = versions(components)
    for component in components:
        content.update(
            f"{component.name} {component.package} {linker_flags(component, known[component.name])}".encode()
        )
    for folder in sorted({component.folder for component in components}):
        for file in sorted(path for path in (modules_folder() / folder).iterdir() if path.is_file()):
            content.update(file.read_bytes())
    return content.hexdigest()[:16]


def ensure(progress: Progress, clock: Clock | None = None, components: Sequence[Component] = COMPONENTS) -> Binaries:
    """These programs, built where the cache lacks them. Raises ClusterBroken with the compiler's own words."""
    clock = clock or SystemClock()
    wanted = max(go_directive((modules_folder() / component.folder / "go.mod").read_text()) for component in components)
    go = toolchain.find(wanted, progress)
    folder = cache_root() / "bin" / cache_key(go.version, components)
    found = Binaries(folder, versions(components))
    if not _missing(folder, components):
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with locked("build", progress, "another process is building the components: waiting for it"):
        for abandoned in folder.glob(".*"):
            abandoned.unlink()
        missing = _missing(folder, components)
        for number, component in enumerate(missing, 1):
            _build(component, go, found, _Reporter(progress, clock, f"{component.name} ({number} of {len(missing)})"))
    return found


def _missing(folder: Path, components: Sequence[Component]) -> list[Component]:
    return [component for component in components if not (folder / component.name).exists()]


@dataclass(slots=True)
class _Reporter:
    progress: Progress
    clock: Clock
    what: str
    started: float = 0.0

    def begin(self) -> None:
        self.started = self.clock.monotonic()
        self.progress(f"building {self.what}")

    def still(self) -> None:
        self.progress(f"still building {self.what}, {self.clock.monotonic() - self.started:.0f} s")

    def done(self) -> None:
        self.progress(f"built {self.what} in {self.clock.monotonic() - self.started:.0f} s")


def _build(component: Component, go: Go, binaries: Binaries, report: _Reporter) -> None:
    new = binaries.folder / f".{component.name}.{os.getpid()}"
    flags = linker_flags(component, binaries.versions[component.name])
    command = [
        str(go.binary),
        "build",
        "-trimpath",
        "-tags",
        TAGS,
        "-ldflags",
        flags,
        "-o",
        str(new),
        component.package,
    ]
    report.begin()
    with subprocess.Popen(
        command,
        cwd=modules_folder() / component.folder,
        env=go.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = _wait(process, report)
    if process.returncode != 0:
        new.unlink(missing_ok=True)
        raise ClusterBroken(f"{' '.join(command)} ended with exit code {process.returncode}:\n{said}")
    new.replace(binaries.folder / component.name)
    report.done()


def _wait(process: subprocess.Popen[str], report: _Reporter) -> str:
    while True:
        try:
            _, said = process.communicate(timeout=REPORT_SECONDS)
        except subprocess.TimeoutExpired:
            report.still()
        else:
            return said
