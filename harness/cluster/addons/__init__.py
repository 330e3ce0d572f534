"""The programs that every owned cluster runs, as plain manifests that the local cluster and kind share.

What differs between clusters is written ``((name))`` in a manifest: as a whole value or inside a text. ``((name|int))``
makes a whole value a number. Anything else is unchanged, including the ``$1`` and ``{{ }}`` of Prometheus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from harness.common.errors import InputError, Problem

SUFFIX = ".yaml"
# Options of metrics-server: kubelets' certificates are signed by the cluster's authority, or are self-signed.
TRUST_AUTHORITY = "--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
TRUST_ANY = "--kubelet-insecure-tls"
PLACEHOLDER = re.compile(r"\(\(([a-z_]+)(\|int)?\)\)")


def names() -> list[str]:
    """Return the names of all manifests."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return sorted(file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))


def placeholders(name: str) -> set[str]:
    """Return the names that a manifest needs values for."""
    return {match[1] for match in PLACEHOLDER.finditer(_text(name))}


def render(name: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the objects of a manifest, in the order to apply them. Raises InputError for missing values.

    Values are inserted after parsing, so that none can change the structure.
    """
    missing = sorted(placeholders(name) - set(values))
    if missing:
        raise InputError([Problem(f"no value for (({key}))", field=f"addon {name}") for key in missing])
    documents = yaml.safe_load_all(_text(name))
    return [{key: _filled(part, values) for key, part in document.items()} for document in documents if document]


def _filled(node: object, values: Mapping[str, str]) -> object:
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    if not isinstance(node, str):
        return node
    whole = PLACEHOLDER.fullmatch(node)
    if whole and whole[2]:
        return int(values[whole[1]])
    return PLACEHOLDER.sub(lambda match: values[match[1]], node)


def _text(name: str) -> str:
    return (resources.files(__name__) / f"{name}{SUFFIX}").read_text(encoding="utf-8")
