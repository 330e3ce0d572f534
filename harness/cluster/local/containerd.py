"""A node's container runtime: containerd from the distribution, with folders and settings of the node's own."""

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
    """The text of containerd's ``config.toml`` (version 2, as containerd 1.6 and 1.7 read it)."""
    sections: dict[str, dict[str, Any]] = {
        "": {
            "version": 2,
            "root": ROOT,
            "state": "/run/containerd",
            "oom_score": 0,
            # Of no use to Kubernetes, and each costs time at the start.
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
            # Loading a profile would leave it in the machine's kernel.
            "disable_apparmor": True,
            # Without CAP_SYS_RESOURCE runc cannot set a score below its own and fails without saying so.
            "restrict_oom_score_adj": not may_lower_oom_score,
            "max_concurrent_downloads": 8,
        },
        f"{CRI}.cni": {"bin_dir": CNI_BINARIES, "conf_dir": str(CNI_CONFIG)},
        f"{CRI}.registry": {"config_path": str(REGISTRY_HOSTS)},
        f"{CRI}.containerd": {"snapshotter": snapshotter, "discard_unpacked_layers": True},
        f"{CRI}.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
        # kubelet's driver is cgroupfs on every machine: systemd need not know of groups that are not its own.
        f"{CRI}.containerd.runtimes.runc.options": {"SystemdCgroup": False},
    }
    return "\n".join(_section(name, values) for name, values in sections.items())


def _section(name: str, values: dict[str, Any]) -> str:
    # For strings, booleans, numbers and lists of strings JSON and TOML are spelled alike.
    lines = [f"[{name}]"] if name else []
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""])


def registry_hosts(registry: str) -> str:
    """The ``hosts.toml`` that sends every image reference of any registry to the cluster's own.

    There is no way out to other registries from here, and asking for them by name would time out where this says no.
    """
    url = f"http://{registry}"
    return f'server = "{url}"\n\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n'


def program(cluster: str, node: Node, namespaces: Namespaces) -> Program:
    """containerd on a node. The shims and, outside of their pods, the containers' helpers share its control group."""
    command = namespaces.enter(NAME, f"--config={CONFIG}/containerd.toml")
    return Program(node.role, NAME, command, group(cluster, node.role, SYSTEM_GROUP))
