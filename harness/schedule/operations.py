"""What ``harness schedule`` does in a cluster: apply, run now, suspend, resume, delete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, JOBS, PODS, SECRETS, VOLUME_CLAIMS, Resource
from harness.common.clock import Clock, iso
from harness.common.errors import ApiError, InputError, Problem, TimedOut
from harness.common.naming import SYSTEM_NAMESPACE
from harness.common.progress import Progress
from harness.common.waiting import wait_until
from harness.safety.cleanup import janitor
from harness.schedule.manifests import manifests
from harness.schedule.naming import CONTAINER, KEY_VARIABLE, SCHEDULE_LABEL, SECRET_VARIABLE
from harness.schedule.status import CRON_JOBS, RESUMED
from harness.schedule.values import Values

_RBAC = "rbac.authorization.k8s.io/v1"
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts", "ServiceAccount")
NETWORK_POLICIES = Resource("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy")
ROLES = Resource(_RBAC, "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(_RBAC, "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
# In the order of removal: bindings before what they bind.
_KINDS = (
    NETWORK_POLICIES,
    ROLE_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    ROLES,
    CLUSTER_ROLES,
    SERVICE_ACCOUNTS,
    CONFIG_MAPS,
)
# Seconds beyond the pod's own grace period.
_MARGIN = 60.0
_DEFAULT_GRACE = 300.0


def apply(api: KubeApi, values: Values, progress: Progress, *, force: bool = False) -> None:
    """Apply all objects with server-side apply. Raises InputError for fields that others changed, ApiError.

    All objects are checked by a dry run first, so that a refused one leaves nothing half applied.
    """
    objects = manifests(values)
    problems = [*_port_problems(api, values), *_secret_problems(api, values)]
    for dry_run in (True, False):
        for item in objects:
            try:
                api.apply(item, dry_run=dry_run, force=force)
            except ApiError as error:
                if error.status == 409:
                    problems.append(Problem(f"{_named(item)} was changed by others: {error}; --force overwrites it"))
                elif not (dry_run and error.not_found):
                    # In a dry run the namespace may not exist yet.
                    raise
        if problems:
            raise InputError(problems)
    progress(f"applied {len(objects)} objects of schedule {values.name} in namespace {SYSTEM_NAMESPACE}")
    if api.find(CRON_JOBS, janitor.NAME, SYSTEM_NAMESPACE) is None:
        progress(
            "this cluster has no janitor: if the pod of a run is killed, its faults stay until somebody runs "
            f"`harness sweep`; to add it: harness janitor --image {values.image} | kubectl apply -f -"
        )


def _port_problems(api: KubeApi, values: Values) -> list[Problem]:
    """Return a problem if the NetworkPolicy would cut the pod off from the API server."""
    if not values.network.enabled:
        return []
    try:
        slices = api.list(ENDPOINT_SLICES, "default", "kubernetes.io/service-name=kubernetes").items
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    ports = {int(port["port"]) for each in slices for port in each.get("ports") or () if port.get("port")}
    closed = sorted(ports - {*values.network.api_ports, *values.network.ports})
    if not closed:
        return []
    found, add = ", ".join(map(str, closed)), " ".join(f"--api-port {port}" for port in closed)
    message = f"found the API server on port {found}, which the NetworkPolicy does not allow: add {add}"
    return [Problem(message, field="network.apiPorts")]


def _secret_problems(api: KubeApi, values: Values) -> list[Problem]:
    """Return a problem for each Secret that is missing: the pod would wait for it until its deadline."""
    s3, git = values.results.s3, values.source.git
    wanted = [
        *([(s3.secret, f"--from-literal={KEY_VARIABLE}=… --from-literal={SECRET_VARIABLE}=…")] if s3 else []),
        *([(git.secret, "--from-literal=username=… --from-literal=password=…")] if git and git.secret else []),
    ]
    problems = []
    for name, how in wanted:
        try:
            missing = api.find(SECRETS, name, SYSTEM_NAMESPACE) is None
        except ApiError as error:
            if error.status != 403:
                raise
            continue
        if missing:
            create = f"kubectl -n {SYSTEM_NAMESPACE} create secret generic {name} {how}"
            problems.append(Problem(f"found no Secret {name} in namespace {SYSTEM_NAMESPACE}; to create it: {create}"))
    return problems


def find(api: KubeApi, name: str) -> Object:
    """Return the CronJob of a schedule. Raises InputError if there is none, with the names of those that exist."""
    found = {
        item["metadata"]["labels"][SCHEDULE_LABEL]: item
        for item in api.list(CRON_JOBS, SYSTEM_NAMESPACE, SCHEDULE_LABEL).items
    }
    if name not in found:
        expected = f"expected one of {', '.join(sorted(found))}" if found else "this cluster has no schedule"
        raise InputError([Problem(f"found no schedule {name!r}, {expected}")])
    return found[name]


def suspend(api: KubeApi, name: str, clock: Clock, *, suspended: bool) -> None:
    """Suspend or resume a schedule; a run that is active goes on. Raises InputError, ApiError."""
    item = find(api, name)
    body: Object = {"spec": {"suspend": suspended}}
    if not suspended:
        body["metadata"] = {"annotations": {RESUMED: iso(clock.wall())}}
    api.patch(CRON_JOBS, item["metadata"]["name"], body, SYSTEM_NAMESPACE)


def run_now(api: KubeApi, name: str) -> str:
    """Create a Job as the CronJob would; returns its name. Raises InputError if a run of it is active, ApiError."""
    item = find(api, name)
    active = [
        job["metadata"]["name"] for job in api.list(JOBS, SYSTEM_NAMESPACE, _selector(name)).items if _active(job)
    ]
    if active:
        raise InputError([Problem(f"schedule {name} has an active run, {', '.join(active)}; expected none")])
    template, owner = item["spec"]["jobTemplate"], item["metadata"]
    metadata = {
        "name": f"{owner['name'][:40].rstrip('-')}-{int(time.time())}",
        "namespace": SYSTEM_NAMESPACE,
        "labels": template["metadata"]["labels"],
        # As `kubectl create job --from` does.
        "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
        "ownerReferences": [
            {
                "apiVersion": CRON_JOBS.group_version,
                "kind": CRON_JOBS.kind,
                "name": owner["name"],
                "uid": owner["uid"],
                "controller": True,
            }
        ],
    }
    job = {"apiVersion": JOBS.group_version, "kind": JOBS.kind, "metadata": metadata, "spec": template["spec"]}
    return str(api.create(JOBS, job, SYSTEM_NAMESPACE)["metadata"]["name"])


def log_of(api: KubeApi, name: str, job: str, *, tail: int) -> str:
    """Return the log of a Job's pod, by default of the newest one. Raises InputError if there is none, ApiError."""
    pods = api.list(PODS, SYSTEM_NAMESPACE, _selector(name) + (f",job-name={job}" if job else "")).items
    if not pods:
        of = f"{job} of schedule {name}" if job else f"schedule {name}"
        raise InputError([Problem(f"found no pod of {of}: its logs are kept as long as its Job")])
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return api.logs(SYSTEM_NAMESPACE, newest["metadata"]["name"], CONTAINER, tail=tail)


@dataclass
class Deleted:
    """What ``delete`` removed, and what it left with the reason."""

    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def delete(api: KubeApi, name: str, clock: Clock, progress: Progress, *, results: bool = False) -> Deleted:
    """Delete all objects of a schedule; with ``results`` also its volume. Raises InputError, TimedOut, ApiError.

    The pod of an active run is stopped and undoes its faults first: its permissions are removed last.
    """
    done = Deleted()
    found = api.list(CRON_JOBS, SYSTEM_NAMESPACE, _selector(name)).items
    rest = [(kind, item) for kind in _KINDS for item in api.list(kind, None, _selector(name)).items]
    claims = api.list(VOLUME_CLAIMS, SYSTEM_NAMESPACE, _selector(name)).items
    if not found and not rest and not (results and claims):
        find(api, name)
    bucket = bucket_of(found)
    for item in found:
        _remove(api, CRON_JOBS, item, done, propagation="Background")
    _await_pods(api, name, found, clock, progress)
    for kind, item in rest:
        _remove(api, kind, item, done)
    for item in claims:
        if results:
            _remove(api, VOLUME_CLAIMS, item, done)
            _await_claim(api, str(item["metadata"]["name"]), clock)
        else:
            done.left.append(f"{_named(item)} with the reports: --results deletes it")
    done.left += bucket
    done.left.append(f"namespace/{SYSTEM_NAMESPACE}: other runs use it")
    return done


def _await_pods(api: KubeApi, name: str, found: Sequence[Object], clock: Clock, progress: Progress) -> None:
    specs = [item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in found]
    grace = max([float(spec.get("terminationGracePeriodSeconds") or _DEFAULT_GRACE) for spec in specs], default=0.0)
    told: list[str] = []

    def look() -> tuple[bool | None, str]:
        pods = [pod["metadata"]["name"] for pod in api.list(PODS, SYSTEM_NAMESPACE, _selector(name)).items]
        if pods and pods != told:
            progress(f"waiting until the pod has undone its faults and ended: {', '.join(pods)}")
            told[:] = pods
        return (None if pods else True), f"still there: {', '.join(pods)}"

    try:
        wait_until("the pods of the schedule to end", look, grace + _MARGIN, clock, every=1.0)
    except TimedOut as error:
        raise TimedOut(
            f"{error.what} (its permissions were kept, run the command again)", error.seconds, error.last
        ) from error


def _await_claim(api: KubeApi, claim: str, clock: Clock) -> None:
    """Wait until a claim is gone: a schedule that is applied again must not use one that is being deleted."""

    def look() -> tuple[bool | None, str]:
        found = api.find(VOLUME_CLAIMS, claim, SYSTEM_NAMESPACE)
        return (True if found is None else None), "a pod may still use it"

    wait_until(f"persistentvolumeclaim/{claim} to be deleted", look, _MARGIN, clock)


def bucket_of(found: Sequence[Object]) -> list[str]:
    """Return the bucket of a schedule's CronJob as text, and the Secrets that it names."""
    left = []
    for item in found:
        (container,) = item["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        options = dict(word.partition("=")[::2] for word in container.get("args") or () if word.startswith("--"))
        if "--bucket" in options:
            left.append(
                f"bucket {options['--bucket']} at {options.get('--endpoint')}, below {options.get('--prefix')}/"
            )
        for entry in container.get("env") or ():
            secret = ((entry.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
            if secret and f"secret/{secret}" not in " ".join(left):
                left.append(f"secret/{secret}: it was not made by the harness")
    return left


def _remove(api: KubeApi, kind: Resource, item: Object, done: Deleted, propagation: str | None = None) -> None:
    metadata = item["metadata"]
    try:
        api.delete(kind, metadata["name"], metadata.get("namespace"), propagation=propagation)
    except ApiError as error:
        if not error.not_found:
            raise
    done.removed.append(_named(item))


def _named(item: Object) -> str:
    namespace = item["metadata"].get("namespace")
    place = f" in {namespace}" if namespace and namespace != SYSTEM_NAMESPACE else ""
    return f"{item['kind'].lower()}/{item['metadata']['name']}{place}"


def _selector(name: str) -> str:
    return f"{SCHEDULE_LABEL}={name}"


def _active(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return not any(each["type"] in {"Complete", "Failed"} and each.get("status") == "True" for each in conditions)
