"""An identity with few rights on a real cluster, and a kubeconfig that makes the cluster somebody else's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import Resource
from harness.common.clock import SystemClock
from harness.common.errors import ApiError
from harness.common.naming import SYSTEM_NAMESPACE
from harness.common.waiting import wait_until

# No name that a cluster of ours would have: the harness must be told twice that it may be broken.
CONTEXT = "somebody-elses"
NAME = "few-rights"
MANIFEST = Path(__file__).with_suffix(".yaml")
SECRETS = Resource("v1", "secrets", "Secret")
TOKEN_SECONDS = 10.0


@contextmanager
def few_rights(api: KubeApi, server: str, folder: Path) -> Iterator[Path]:
    """A kubeconfig of the identity for ``server``, written into ``folder``; afterwards the identity is gone."""
    objects = list(yaml.safe_load_all(MANIFEST.read_text()))
    for item in objects:
        api.apply(item)
    try:
        secret = wait_until("a token", lambda: _token(api), TOKEN_SECONDS, SystemClock())
        yield _kubeconfig(secret, server, folder / "few-rights.kubeconfig")
    finally:
        # All but the namespace, which every run uses.
        for item in reversed(objects[1:]):
            _delete(api, item)


def _token(api: KubeApi) -> tuple[dict[str, str] | None, str]:
    data: dict[str, str] = api.get(SECRETS, NAME, SYSTEM_NAMESPACE).get("data") or {}
    return (data if {"token", "ca.crt"} <= data.keys() else None), "not yet"


def _kubeconfig(secret: dict[str, str], server: str, file: Path) -> Path:
    token = base64.b64decode(secret["token"]).decode()
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": secret["ca.crt"]}}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": "c", "user": NAME}}],
    }
    file.write_text(yaml.safe_dump(body))
    return file


def _delete(api: KubeApi, item: dict[str, Any]) -> None:
    resource = api.discover(item["apiVersion"], item["kind"])
    try:
        api.delete(resource, item["metadata"]["name"], item["metadata"].get("namespace"))
    except ApiError as error:
        if not error.not_found:
            raise
