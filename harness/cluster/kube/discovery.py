"""Which resources an API server serves beyond those built into Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Iterator

from harness.cluster.kube import published
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import Resource
from harness.common.errors import ApiError


def custom_resources(api: KubeApi) -> Iterator[Resource]:
    """Yield the namespaced custom resources that can be listed and created, in their preferred versions.

    Raises ApiError.
    """
    built_in = {resource.group_version.rpartition("/")[0] for resource in published.kinds().values()}
    for group in json.loads(api.raw("/apis"))["groups"]:
        if group["name"] not in built_in:
            yield from _creatable(api, str(group["preferredVersion"]["groupVersion"]))


def _creatable(api: KubeApi, group_version: str) -> Iterator[Resource]:
    try:
        entries = json.loads(api.raw(Resource(group_version, "", "").base))["resources"]
    except ApiError as error:
        # An aggregated API whose server is down answers with 503; its objects cannot be read anyway.
        if error.status in {403, 404, 503}:
            return
        raise
    for entry in entries:
        # Metrics APIs have no verb create, and a subresource such as status has a slash in its name.
        if entry["namespaced"] and "/" not in entry["name"] and {"list", "create"} <= set(entry.get("verbs") or ()):
            yield Resource(group_version, entry["name"], entry["kind"])
