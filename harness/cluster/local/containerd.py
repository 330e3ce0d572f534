"""A node's container runtime: containerd from the distribution, with separate folders and settings for each node."""

from __future__ import annotations

import json
from typing import Any

from harness.cluster.local.cgroups import group
from harness.cluster.local.namespaces import CONFIG, SYSTEM_GROUP, Namespaces
from harness.cluster.local.plan import Node
from harness.cluster.local.processes import Program

NAME = "containerd"
ROOT = "/var/lib/containerd"
SOCKET = "/run/containerd/containerd.sock"
CNI_BINARIES = "/usr/lib/cni"
CNI_CONFIG = CONFIG / "cni"
REGISTRY_HOSTS = CONFIG / "registries"
CRI = 'plugins."io.containerd.grpc.v1.cri"'


def config(pause_image: str, snapshotter: str, may_lower_oom_score: bool) -> str:
    """Return the text of containerd's ``config.toml`` (version 2, for containerd 1.6 and 1.7)."""
    sections: dict[str, dict[str, Any]] = {
        "": {
            "version": 2,
            "root": ROOT,
            "state": "/run/containerd",
            "oom_score": 0,
            # Unused by Kubernetes; each slows down the start.
            "disabled_plugins": [
                "io.containerd.snapshotter.v1.aufs",
                "io.containerd.snapshotter.v1.btrfs",
                "io.containerd.snapshotter.v1.devmapper",
                "io.containerd.snapshotter.v1.zfs",
                "io.containerd.tracing.processor.v1.otlp",
                "io.containerd.internal.v1.tracing",
            ],
        },
        "grpc": {"address": SOCKET},
        CRI: {
            "sandbox_image": pause_image,
            # A loaded profile would stay in the machine's kernel after the cluster is removed.
            "disable_apparmor": True,
            # Without CAP_SYS_RESOURCE runc cannot set a score below its own, and fails without an error message.
            "restrict_oom_score_adj": not may_lower_oom_score,
            "max_concurrent_downloads": 8,
        },
        f"{CRI}.cni": {"bin_dir": CNI_BINARIES, "conf_dir": str(CNI_CONFIG)},
        f"{CRI}.registry": {"config_path": str(REGISTRY_HOSTS)},
        # Without discard_unpacked_layers, every layer would be on disk twice: packed and unpacked.
        f"{CRI}.containerd": {"snapshotter": snapshotter, "discard_unpacked_layers": True},
        f"{CRI}.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
        # cgroupfs on every machine, like the kubelet: the groups of a cluster are not managed by systemd.
        f"{CRI}.containerd.runtimes.runc.options": {"SystemdCgroup": False},
    }
    return "\n".join(_section(name, values) for name, values in sections.items())


def _section(name: str, values: dict[str, Any]) -> str:
    # JSON and TOML have the same syntax for strings, booleans, numbers and lists of strings.
    lines = [f"[{name}]"] if name else []
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""])


def registry_hosts(registry: str, host: str = "") -> str:
    """Return the ``hosts.toml`` that sends pulls from a registry to the cluster's own one.

    With a host, images are below its name there, so that two registries may have different images of the same path.
    Without one it is for all other registries. Nodes cannot reach these: a pull from them would run into a time-out,
    here it fails at once.
    """
    if not host:
        url = f"http://{registry}"
        return f'server = "{url}"\n\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n'
    url = f"http://{registry}/v2/{host}"
    whole = "override_path = true\n"
    return f'server = "{url}"\n{whole}\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n{whole}'


def pull_command(name: str, snapshotter: str) -> tuple[str, ...]:
    """Return the command that pulls an image on a node, so that the kubelet finds it there."""
    where = ("--address", SOCKET, "--namespace", "k8s.io")
    hosts = ("--hosts-dir", str(REGISTRY_HOSTS), "--snapshotter", snapshotter)
    return ("ctr", *where, "images", "pull", *hosts, name)


def program(cluster: str, node: Node, namespaces: Namespaces) -> Program:
    """Return containerd on a node. Its shims, and helpers of containers outside the pods, share its control group."""
    command = namespaces.enter(NAME, f"--config={CONFIG}/containerd.toml")
    return Program(node.role, NAME, command, group(cluster, node.role, SYSTEM_GROUP))
