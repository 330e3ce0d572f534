"""The pod of a scheduled run. It meets the Pod Security Standard "restricted"."""

from __future__ import annotations

from typing import Any

from harness.cluster.kube.client import Object
from harness.schedule.naming import (
    CONTAINER,
    EXPERIMENTS,
    KEY_VARIABLE,
    PROJECT,
    RESULTS,
    SECRET_VARIABLE,
    TEMPORARY,
    USER,
    WORK,
)
from harness.schedule.values import Amounts, Git, Values

COMMAND = ("python", "-m", "harness.schedule.runner")
# In a shell, since `git clone --branch` accepts no commit.
_CLONE = (
    'git init -q "$2" && cd "$2" && git -c credential.helper=\'!f() { echo username=$GIT_USERNAME; '
    'echo password=$GIT_PASSWORD; }; f\' fetch -q --depth=1 "$0" "$1" && git checkout -q FETCH_HEAD'
)
SECURE = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SECURE_POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_MOUNTS = [{"name": "work", "mountPath": WORK}, {"name": "temporary", "mountPath": TEMPORARY}]


def pod_template(values: Values, labels: dict[str, str]) -> Object:
    """Return the pod template of the CronJob's Jobs."""
    spec: dict[str, Any] = {
        "serviceAccountName": values.object_name,
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        # A stopped run undoes its faults and stores its report.
        "terminationGracePeriodSeconds": values.grace_seconds,
        "securityContext": SECURE_POD,
        "containers": [_container(values)],
        "volumes": _volumes(values),
    }
    if values.source.git:
        spec["initContainers"] = [_clone(values.source.git)]
    if values.pull_secret:
        spec["imagePullSecrets"] = [{"name": values.pull_secret}]
    # The cluster autoscaler must not move a run.
    annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}


def runner_arguments(values: Values) -> list[str]:
    """Return the arguments of the pod's program: its own options, then those of pytest."""
    own = [f"--schedule={values.name}"]
    if values.source.is_config_map:
        own.append(f"--source={EXPERIMENTS}")
    elif values.source.folder:
        own.append(f"--source={values.source.folder}")
    if s3 := values.results.s3:
        own += [f"--endpoint={s3.endpoint}", f"--bucket={s3.bucket}", f"--region={s3.region}"]
        own.append(f"--prefix={s3.prefix or values.name}")
    else:
        own.append(f"--results={RESULTS}")
    pytest = [
        # The two acts that allow faults in a foreign cluster: it is named in full, and it is on the allow-list.
        "--cluster=in-cluster",
        "--cluster-allow=in-cluster",
        f"--load-from={values.load_from}",
        f"--runner-image={values.image}",
        *([f"--images={values.images}"] if values.images else []),
        *values.arguments,
        *values.paths,
    ]
    return [*own, "--", *pytest]


def _container(values: Values) -> Object:
    mounts: list[dict[str, Any]] = [*_MOUNTS]
    if values.source.is_config_map:
        mounts.append({"name": "experiments", "mountPath": EXPERIMENTS, "readOnly": True})
    if values.results.volume:
        mounts.append({"name": "results", "mountPath": RESULTS})
    environment: list[dict[str, Any]] = [{"name": "HOME", "value": WORK}]
    if s3 := values.results.s3:
        environment += [_secret(name, s3.secret, name) for name in (KEY_VARIABLE, SECRET_VARIABLE)]
    return {
        "name": CONTAINER,
        "image": values.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(COMMAND),
        "args": runner_arguments(values),
        "env": environment,
        "resources": {
            "requests": _amounts(values.resources.requests),
            "limits": _amounts(values.resources.limits),
        },
        "securityContext": SECURE,
        "volumeMounts": mounts,
    }


def _clone(git: Git) -> Object:
    environment: list[dict[str, Any]] = [{"name": "HOME", "value": WORK}]
    if git.secret:
        environment += [
            _secret("GIT_USERNAME", git.secret, "username"),
            _secret("GIT_PASSWORD", git.secret, "password"),
        ]
    return {
        "name": "clone",
        "image": git.image,
        "command": ["sh", "-ec", _CLONE],
        "args": [git.url, git.ref, PROJECT],
        "env": environment,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": SECURE,
        "volumeMounts": [*_MOUNTS],
    }


def _volumes(values: Values) -> list[Object]:
    found: list[Object] = [
        {"name": "work", "emptyDir": {"sizeLimit": "2Gi"}},
        {"name": "temporary", "emptyDir": {"sizeLimit": "512Mi"}},
    ]
    if values.source.is_config_map:
        items = [{"key": file.key, "path": file.path} for file in values.files]
        found.append({"name": "experiments", "configMap": {"name": values.config_map, "items": items}})
    if values.results.volume:
        found.append({"name": "results", "persistentVolumeClaim": {"claimName": values.claim}})
    return found


def _secret(variable: str, secret: str, key: str) -> Object:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _amounts(amounts: Amounts) -> dict[str, str]:
    return amounts.model_dump(exclude_none=True)
