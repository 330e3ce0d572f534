"""Copy the reports of a schedule from its volume to a folder of this machine, through a pod that only reads them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import secrets
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.resources import PODS, VOLUME_CLAIMS
from harness.common.clock import Clock
from harness.common.errors import ApiError, InputError, Problem
from harness.common.naming import COMPONENT_LABEL, MANAGED_BY, SYSTEM_NAMESPACE
from harness.common.progress import Progress
from harness.common.timeouts import WORKLOAD_READY
from harness.common.waiting import wait_until
from harness.engine.steps.deploy import never_pulled, why_not_ready
from harness.results.reporting.store import RESULTS
from harness.schedule import operations
from harness.schedule.naming import RESULTS as MOUNTED
from harness.schedule.naming import SCHEDULE_LABEL
from harness.schedule.pod import SECURE, SECURE_POD
from harness.schedule.status import CRON_JOBS

_CONTAINER = "read"
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Seconds. A pod that is left by a command that was killed ends by itself.
_LONGEST = 900
_EXEC_SECONDS = 300.0


def fetch(
    api: KubeApi, name: str, folder: Path, clock: Clock, progress: Progress, *, run: str = "", image: str = ""
) -> int:
    """Copy the runs that ``folder`` does not have, or only ``run``; return how many were copied.

    ``image`` is used if the schedule was deleted. A run that has not ended is copied as far as it is stored. Raises
    InputError, TimedOut, ApiError, OSError.
    """
    item = _schedule(api, name)
    body = reader_pod(name, _claim(api, name, item), _image(name, item, image), item)
    with _running(api, body, clock) as pod:
        found = _runs(_read(api, pod, "list", MOUNTED))
        runs = [each for each in sorted(found) if _RUN.fullmatch(each)]
        if run and run not in runs:
            expected = f"one of {', '.join(runs)}" if runs else "none: the volume has no runs"
            raise InputError([Problem(f"found {run!r}, expected {expected}", field="--run")])
        wanted = [run] if run else [each for each in runs if not (folder / each / RESULTS).exists()]
        for each in wanted:
            files = unpack(_read(api, pod, "archive", MOUNTED, each), folder, each)
            unfinished = "" if found[each] else " (it has not ended, or was killed)"
            progress(f"{folder / each}: {files} files{unfinished}")
    return len(wanted)


def _runs(text: str) -> dict[str, bool]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError([Problem(f"the volume could not be read: found {text[:80]!r}, expected its runs as JSON")])
    return found


def unpack(text: str, folder: Path, run: str) -> int:
    """Write the files of an archive to ``folder/run``; return their number. Raises InputError, OSError.

    Whatever the volume contains, nothing is written outside of that folder, and no link is created.
    """
    count = 0
    try:
        # Decompressed as a whole, since tarfile does not read as far as the checksum.
        data = gzip.decompress(base64.b64decode(text, validate=True))
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                # Checked first: tarfile follows links inside of the archive.
                content = archive.extractfile(member) if member.isfile() else None
                if content is None or path.parts[:1] != (run,) or ".." in path.parts:
                    raise InputError([Problem(f"found {member.name!r}, expected a file of run {run}")])
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
                count += 1
    except (ValueError, EOFError, tarfile.TarError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError([Problem(f"run {run} did not arrive complete: {error}; run the command again")]) from error
    return count


def _schedule(api: KubeApi, name: str) -> Object | None:
    found = api.list(CRON_JOBS, SYSTEM_NAMESPACE, f"{SCHEDULE_LABEL}={name}").items
    return found[0] if found else None


def _claim(api: KubeApi, name: str, item: Object | None) -> str:
    """Return the name of the claim. Raises InputError if the reports are in a bucket, or there is no such schedule."""
    claims = api.list(VOLUME_CLAIMS, SYSTEM_NAMESPACE, f"{SCHEDULE_LABEL}={name}").items
    if claims:
        return str(claims[0]["metadata"]["name"])
    if item is None:
        operations.find(api, name)
    bucket = next(iter(operations.bucket_of([item] if item else [])), "no volume")
    message = f"schedule {name} keeps its reports in {bucket}, expected a volume: copy them with a client of the bucket"
    raise InputError([Problem(message)])


def _image(name: str, item: Object | None, image: str) -> str:
    if image:
        return image
    if item is None:
        message = f"is missing: schedule {name} was deleted, but its volume is there; expected an image with Python"
        raise InputError([Problem(message, field="--image")])
    (container,) = _spec(item)["containers"]
    return str(container["image"])


def _spec(item: Object) -> dict[str, Any]:
    spec: dict[str, Any] = item["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


@contextmanager
def _running(api: KubeApi, body: Object, clock: Clock) -> Iterator[str]:
    """Create a pod, wait until it runs, and delete it at the end. Raises InputError, TimedOut, ApiError."""
    pod = str(body["metadata"]["name"])
    api.create(PODS, body, SYSTEM_NAMESPACE)
    try:
        wait_until(f"pod {pod} to run", lambda: _look(api, pod), WORKLOAD_READY, clock)
        yield pod
    finally:
        try:
            api.delete(PODS, pod, SYSTEM_NAMESPACE, grace_seconds=0)
        except ApiError as error:
            if not error.not_found:
                raise


def _look(api: KubeApi, name: str) -> tuple[bool | None, str]:
    pod = api.get(PODS, name, SYSTEM_NAMESPACE)
    for reason in never_pulled(pod):
        raise InputError([Problem(reason)])
    phase = (pod.get("status") or {}).get("phase")
    seen = f"{phase}{why_not_ready(api, SYSTEM_NAMESPACE, [pod])}"
    if phase == "Failed":
        raise InputError([Problem(f"pod {name}: found {seen}, expected it to run: the image needs python")])
    return (True if phase == "Running" else None), seen


def reader_pod(name: str, claim: str, image: str, item: Object | None) -> Object:
    """Return the pod. It meets the Pod Security Standard "restricted", and can do nothing in the cluster."""
    # Without the label of the schedule: it is not a run, whose pods have logs and are waited for.
    metadata: dict[str, Any] = {
        "name": f"resilience-{name}-reader-{secrets.token_hex(3)}",
        "namespace": SYSTEM_NAMESPACE,
        "labels": {**MANAGED_BY, COMPONENT_LABEL: "schedule-reader"},
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": _LONGEST,
        "terminationGracePeriodSeconds": 0,
        "securityContext": SECURE_POD,
        "containers": [
            {
                "name": _CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python", "-c", f"import time; time.sleep({_LONGEST})"],
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                "securityContext": SECURE,
                "volumeMounts": [{"name": "results", "mountPath": MOUNTED, "readOnly": True}],
            }
        ],
        "volumes": [{"name": "results", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}],
    }
    if item is not None:
        owner = item["metadata"]
        metadata["ownerReferences"] = [
            {"apiVersion": CRON_JOBS.group_version, "kind": CRON_JOBS.kind, "name": owner["name"], "uid": owner["uid"]}
        ]
        if secrets_of := _spec(item).get("imagePullSecrets"):
            spec["imagePullSecrets"] = secrets_of
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _read(api: KubeApi, pod: str, *words: str) -> str:
    program = (resources.files("harness.schedule") / "reader.py").read_text(encoding="utf-8")
    command = ["python", "-c", program, *words]
    done = api.exec(SYSTEM_NAMESPACE, pod, command, _CONTAINER, timeout=_EXEC_SECONDS)
    if done.exit_code:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.exit_code}"])[-1]
        raise InputError([Problem(f"the volume could not be read: {last}")])
    return done.stdout.strip()
