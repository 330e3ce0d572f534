"""Collect diagnostics of a namespace as plain files next to the record of a run that did not pass.

``events.txt``, ``nodes.txt``, one YAML file per kind, and the logs of every container, before and after its last
restart. The size is bounded; a file that cannot be read is listed in the index and does not stop the rest. Secrets are
never read, and plain environment values whose name suggests a credential are hidden.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import (
    AUTOSCALERS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    VOLUME_CLAIMS,
    Resource,
)
from harness.common.errors import ApiError

LOG_LINES = 500
MOST_CONTAINERS = 40
INDEX = "index.txt"
DESCRIBED = (
    PODS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    REPLICA_SETS,
    AUTOSCALERS,
    VOLUME_CLAIMS,
    ENDPOINT_SLICES,
    SERVICES,
)
# Names of environment variables that suggest a credential in plain text: only the name is kept, not the value.
_CREDENTIAL = re.compile(r"passw|pwd|secret|token|credential|private|api_?key|access_?key|_dsn|_key$", re.IGNORECASE)
HIDDEN = "(hidden: the name suggests a credential)"
# All optional: what is denied is left out of the diagnostics and noted in the index.
PERMISSIONS = (
    frozenset().union(*(allow(resource, "list") for resource in (*DESCRIBED, EVENTS)))
    | allow(NODES, "list", place="cluster")
    | allow(PODS, "get", part="log")
)
# kubectl apply stores a second copy of the object in this annotation.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def collect(api: KubeApi, namespace: str, folder: Path) -> list[Path]:
    """Write the diagnostics to ``folder``, which is created. Return the files, the index last. Raises only OSError."""
    kept = _Collection(folder)
    kept.write("events.txt", "events, oldest first", partial(_events, api, namespace))
    kept.write("nodes.txt", "conditions of the nodes", partial(_nodes, api))
    for resource in DESCRIBED:
        kept.write(f"{resource.plural}.yaml", resource.kind, partial(_described, api, resource, namespace))
    _logs(api, namespace, kept)
    return kept.finish()


class _Collection:
    """The files written so far, and the lines of their index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []
        self._lines: list[str] = []
        self.unreachable = False
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, about: str, read: Callable[[], str]) -> None:
        """Write the text that ``read`` returns, if not empty; an error is noted in the index."""
        if self.unreachable:
            return
        try:
            text = read()
        except (ApiError, LookupError, TypeError, ValueError, AttributeError) as error:
            # Stop after a connection error: otherwise every further file would wait for the timeout again.
            self.unreachable = isinstance(error, ApiError) and error.status == 0
            self.note(f"{name}: {about}: could not read: {type(error).__name__}: {error}")
            return
        if not text:
            self.note(f"{name}: {about}: empty")
            return
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
        self._paths.append(path)
        self.note(f"{name}: {about}")

    def note(self, line: str) -> None:
        self._lines.append(line)

    def finish(self) -> list[Path]:
        index = self._folder / INDEX
        index.write_text("\n".join(self._lines) + "\n", encoding="utf-8")
        return [*self._paths, index]


def _events(api: KubeApi, namespace: str) -> str:
    lines = sorted(_event_line(event) for event in api.list(EVENTS, namespace).items)
    return "".join(f"{line}\n" for line in lines)


def _event_line(event: Object) -> str:
    """Return a line that starts with the time, so that sorting the lines sorts the events."""
    about, repeated = event.get("involvedObject", {}), event.get("series") or {}
    at = repeated.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "unknown time"
    count = repeated.get("count") or event.get("count") or 1
    message = " ".join(str(event.get("message", "")).split())
    times = f" (×{count})" if count > 1 else ""
    return (
        f"{at}  {event.get('type')}  {event.get('reason')}  {about.get('kind')}/{about.get('name')}  {message}{times}"
    )


def _nodes(api: KubeApi) -> str:
    return "\n".join(line for node in api.list(NODES).items for line in _node_lines(node)) + "\n"


def _node_lines(node: Object) -> Iterator[str]:
    closed = " (cordoned)" if node.get("spec", {}).get("unschedulable") else ""
    yield f"{node['metadata']['name']}{closed}"
    for taint in node.get("spec", {}).get("taints") or ():
        yield f"  taint {taint.get('key')}={taint.get('value', '')}:{taint.get('effect')}"
    for condition in node.get("status", {}).get("conditions") or ():
        since, message = condition.get("lastTransitionTime"), condition.get("message", "")
        yield f"  {condition['type']}: {condition['status']} since {since}  {condition.get('reason')}: {message}"


def _described(api: KubeApi, resource: Resource, namespace: str) -> str:
    items = [_readable(item) for item in api.list(resource, namespace).items]
    # Keep the order of the keys, like `kubectl get -o yaml`.
    return yaml.dump_all(items, sort_keys=False, allow_unicode=True, width=120) if items else ""


def _readable(item: Object) -> Object:
    meta: dict[str, Any] = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    if "annotations" in meta:
        meta["annotations"] = {key: value for key, value in meta["annotations"].items() if key != _LAST_APPLIED}
    whole = {"apiVersion": item.get("apiVersion"), "kind": item.get("kind"), **item, "metadata": meta}
    return dict(_without_credentials(whole))


def _without_credentials(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_without_credentials(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    shown = {key: _without_credentials(inner) for key, inner in value.items()}
    if isinstance(shown.get("value"), str) and _CREDENTIAL.search(str(shown.get("name", ""))):
        shown["value"] = HIDDEN
    return shown


def _logs(api: KubeApi, namespace: str, kept: _Collection) -> None:
    if kept.unreachable:
        return
    try:
        containers = [found for pod in api.list(PODS, namespace).items for found in _containers(pod)]
    except ApiError as error:
        kept.note(f"logs: could not read: {error}")
        return
    # Restarted containers first: if there are too many, their logs matter most.
    containers.sort(key=lambda found: -found[2])
    for pod, container, restarts in containers[:MOST_CONTAINERS]:
        for previous in [False, True][: 1 + bool(restarts)]:
            read = partial(api.logs, namespace, pod, container, previous=previous, tail=LOG_LINES)
            name = f"logs/{pod}.{container}{'.previous' if previous else ''}.log"
            kept.write(name, f"last {LOG_LINES} lines", read)
    if len(containers) > MOST_CONTAINERS:
        kept.note(f"logs: {len(containers) - MOST_CONTAINERS} more containers omitted")


def _containers(pod: Object) -> Iterator[tuple[str, str, int]]:
    """Yield pod, container and restart count of every container of a pod, including init containers."""
    status = pod.get("status", {})
    for seen in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        yield pod["metadata"]["name"], seen["name"], int(seen.get("restartCount") or 0)
