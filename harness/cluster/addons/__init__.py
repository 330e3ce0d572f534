"""The programs that every cluster of ours carries, as plain manifests that the local cluster and kind share.

What differs between clusters is written ``((name))`` in a manifest: as a whole value or inside a text. ``((name|int))``
makes a whole value a number. Anything else stays as it is, Prometheus' own ``$1`` and ``{{ }}`` included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from harness.errors import InputError, Problem

SUFFIX = ".yaml"
# What metrics-server is told of the kubelets' certificates: signed by the cluster's own authority, or by nobody.
TRUST_AUTHORITY = "--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
TRUST_ANY = "--kubelet-insecure-tls"
PLACEHOLDER = re.compile(r"\(\(([a-z_]+)(\|int)?\)\)")


def names() -> list[str]:
    """The names of all manifests."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return sorted(file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))


def placeholders(name: str) -> set[str]:
    """The names that a manifest wants values for."""
    return {match[1] for match in PLACEHOLDER.finditer(_text(name))}


def render(name: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects of a manifest, in the order to apply them.

    Values are put in after parsing, so that none can change the structure. Raises InputError for missing ones.
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
