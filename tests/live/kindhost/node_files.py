"""The files of a node above its Debian: kind's own base files from its Go module, the programs, and our settings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from harness.cluster import addons
from harness.cluster.local import binaries, cgroups, toolchain
from harness.cluster.local.images import ImageSet
from harness.cluster.local.oci import Entry
from harness.cluster.local.processes import run
from harness.common.progress import Progress
from tests.live.kindhost.capabilities import may_raise_limits
from tests.live.kindhost.system_images import Parts

HERE = Path(__file__).parent
MODULE = "sigs.k8s.io/kind"
KUBELET_SETTINGS = "/kind/kubelet.d"
UNITS = "etc/systemd/system"
WANTED = f"{UNITS}/multi-user.target.wants"
# kind asks crictl for one thing when it exports logs; its sources are in no module that can be had everywhere.
CRICTL = """#!/bin/sh
[ "$*" = images ] || { echo "crictl: this node only knows: images" >&2; exit 1; }
exec ctr --namespace k8s.io images list
"""
LINKS = {
    "usr/local/bin/containerd": "/usr/bin/containerd",
    "opt/cni/bin": "/usr/lib/cni",
    f"{WANTED}/kubelet.service": f"/{UNITS}/kubelet.service",
    f"{WANTED}/containerd.service": f"/{UNITS}/containerd.service",
    f"{WANTED}/undo-mount-hacks.service": f"/{UNITS}/undo-mount-hacks.service",
    # It would register itself in the machine's kernel.
    f"{UNITS}/systemd-binfmt.service": "/dev/null",
}


def entries(parts: Parts, progress: Progress) -> list[Entry]:
    """All of them, in a fixed order."""
    sandbox = next(reference for reference in parts.references() if "/pause:" in reference)
    built = parts.kubernetes.folder
    programs = {"kubelet": built / "kubelet", "kubectl": built / "kubectl", "kubeadm": parts.kubeadm}
    ours = parts.ours
    return [
        *_base_files(_module_folder(progress) / "images/base/files", sandbox),
        *(Entry(path, link=link, mode=0o777) for path, link in LINKS.items()),
        *(Entry(f"usr/bin/{name}", source=source) for name, source in programs.items()),
        Entry("etc/kubernetes/manifests"),
        Entry("usr/local/bin/crictl", text=CRICTL, mode=0o755),
        _text("etc/containerd/cri-base.json", _base_runtime_spec()),
        _text("kind/version", f"{parts.version}\n"),
        _text("kind/manifests/default-cni.yaml", _cni(ours)),
        _text("kind/manifests/default-storage.yaml", _storage(ours)),
        *_settings_for_cgroups_v1(),
    ]


def _module_folder(progress: Progress) -> Path:
    folder = binaries.modules_folder() / "kind"
    go = toolchain.find(binaries.go_directive((folder / "go.mod").read_text()), progress)
    command = [str(go.binary), "list", "-m", "-f", "{{.Dir}}", MODULE]
    done = subprocess.run(command, cwd=folder, env=go.environment(), capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def _base_files(folder: Path, sandbox: str) -> Iterator[Entry]:
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = str(source.relative_to(folder))
        if path == "etc/containerd/config.toml":
            yield _text(path, _containerd_settings(source.read_text(), sandbox))
        elif path == "etc/default/kubelet":
            yield _text(path, f"{source.read_text().strip()} --config-dir={KUBELET_SETTINGS}\n")
        else:
            yield Entry(path, source=source, mode=0o755 if "/bin/" in path else 0o644)


def _containerd_settings(text: str, sandbox: str) -> str:
    changes = {'sandbox_image = "registry.k8s.io/pause:3.10"': f'sandbox_image = "{sandbox}"'}
    if not may_raise_limits():
        changes["restrict_oom_score_adj = false"] = "restrict_oom_score_adj = true"
    if cgroups.is_v1():
        changes["SystemdCgroup = true"] = "SystemdCgroup = false"
    for old, new in changes.items():
        if old not in text:
            raise LookupError(f"kind's containerd settings no longer say {old!r}")
        text = text.replace(old, new)
    return text


def _settings_for_cgroups_v1() -> Iterator[Entry]:
    yield Entry(KUBELET_SETTINGS.lstrip("/"))
    if cgroups.is_v1():
        # systemd in a container of version 1 does not own the groups that it would have to make for kubelet.
        body = {"failCgroupV1": False, "cgroupDriver": "cgroupfs"}
        head = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
        yield _text(f"{KUBELET_SETTINGS.lstrip('/')}/10-cgroup-v1.conf", yaml.safe_dump({**head, **body}))


def _base_runtime_spec() -> str:
    """What kind's own build makes of containerd's default: a hook that hides the machine's identity, and no limits."""
    spec = json.loads(run(["ctr", "oci", "spec"], "ask containerd for its runtime spec"))
    spec["process"].pop("rlimits", None)
    spec["hooks"] = {"createContainer": [{"path": "/kind/bin/mount-product-files.sh"}]}
    return json.dumps(spec)


def _cni(ours: ImageSet) -> str:
    text = (HERE / "files/default-cni.yaml").read_text()
    return text.replace("((busybox_image))", ours.reference("busybox"))


def _storage(ours: ImageSet) -> str:
    objects = addons.render("storage", {"storage_provisioner_image": ours.reference("storage-provisioner")})
    return yaml.safe_dump_all(objects)


def _text(path: str, text: str) -> Entry:
    return Entry(path, text=text, mode=0o644)
