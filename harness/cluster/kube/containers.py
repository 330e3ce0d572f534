"""Containers of a pod: their status, their restart policy, and why one is not running."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A runtime may put a whole stack trace into the message; the run's folder has the full text.
MAX_MESSAGE = 200
_STARTING = frozenset({None, "", "ContainerCreating", "PodInitializing"})


def why_waiting(status: dict[str, Any]) -> str:
    """Return why a container waits and how it ended before; empty if it is not waiting or only starting."""
    waiting = (status.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _STARTING:
        return ""
    text = f"{waiting['reason']} {waiting.get('message') or ''}".strip()
    ended = why_ended(status)
    return f"{text} ({ended})" if ended else text


def why_ended(status: dict[str, Any]) -> str:
    """Return how the container ended last, with the runtime's message: ``exit code 128, StartError: exec: …``.

    Empty if it has not ended, or ended with exit code 0.
    """
    ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    if not ended.get("exitCode"):
        return ""
    reason = ended.get("reason") or ""
    message = " ".join(str(ended.get("message") or "").split())
    if len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 1] + "…"
    # Kubernetes sets the reason "Error" for every exit code except 0, so it adds nothing.
    details = ": ".join(part for part in ("" if reason == "Error" else reason, message) if part)
    return f"exit code {ended['exitCode']}" + (f", {details}" if details else "")


def container_status(pod: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    """Return the status of a container or sidecar of a pod; empty if the kubelet has not reported it yet."""
    status = pod.get("status") or {}
    listed = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return next((found for found in listed if found["name"] == container), {})


def container_id(status: Mapping[str, Any]) -> str:
    """Return the id of a container that runs; empty if it does not."""
    return str(status.get("containerID", "")) if "running" in (status.get("state") or {}) else ""


def restart_policy(spec: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return the restart policy of a container in a pod with this spec: Always, OnFailure or Never."""
    return str(container.get("restartPolicy") or spec.get("restartPolicy") or "Always")
