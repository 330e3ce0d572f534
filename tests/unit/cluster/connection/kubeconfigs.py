"""Kubeconfig files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def kubeconfig(server: str = "https://192.0.2.1:6443", user: Any = None, **cluster: Any) -> dict[str, Any]:
    """A kubeconfig with the context ``ctx``; keys of the cluster are written with ``_`` for ``-``."""
    options = {key.replace("_", "-"): value for key, value in cluster.items()}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "ctx",
        "clusters": [{"name": "c", "cluster": {"server": server, **options}}],
        "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {} if user is None else user}],
    }


def write(file: Path, data: Any) -> Path:
    """Write YAML; the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(data))
    return file
