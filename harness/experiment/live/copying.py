"""Make a workload of an experiment's own from the objects of a live namespace, which is only read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.objects import reference
from harness.common.errors import ApiError, Inconclusive
from harness.common.shapes import listed, mapping
from harness.experiment.live.cleaning import manifest_of
from harness.experiment.live.kinds import SECRETS
from harness.experiment.live.selection import name_of, references_of
from harness.experiment.workload_checks.pods import pod_sources
from harness.experiment.workload_source import CopySelection
from harness.safety.guard.policy import FILE, Policy

# A Secret of the copy, without its content: that is read and applied at deployment, and is in no file or record.
CONTENT_FROM = "resilience.harness/content-from"
# Objects of these groups act outside of their namespace: they claim host names, order certificates, take snapshots.
_OUTWARD = (
    "gateway.networking.k8s.io",
    "networking.istio.io",
    "traefik.io",
    "traefik.containo.us",
    "projectcontour.io",
    "externaldns.k8s.io",
    "cert-manager.io",
    "acme.cert-manager.io",
    "snapshot.storage.k8s.io",
    "argoproj.io",
    "wgpolicyk8s.io",
)
# The opt-in and the like are for the original namespace.
_OURS = "resilience.harness/"
_MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class Copy:
    """The objects of a copy, and notes about what differs from the original."""

    objects: tuple[Object, ...]
    notes: tuple[str, ...]


def copy_of(objects: Sequence[Object], selection: CopySelection, namespace: Object | None = None) -> Copy:
    """Return the manifests of a copy of these live objects. The copy gets the labels of ``namespace``, if it is given:
    they decide which security rules and sidecars its pods get."""
    left = {name_of(item): why for item in objects if (why := _left_out(item, objects))}
    kept = [item for item in objects if name_of(item) not in left]
    notes = [f"not copied from namespace {selection.namespace}: {why}" for why in _together(left.values())]
    balanced = [reference(item) for item in kept if mapping(item.get("spec")).get("type") == "LoadBalancer"]
    if balanced:
        notes.append(f"{_names(balanced)}: of type LoadBalancer, copied as NodePort: a copy gets no public address")
    claims = [reference(item) for item in kept if _keeps_data(item)]
    if claims:
        notes.append(f"{_names(claims)}: volumes of the copy start empty")
    pulls = sorted({name for item in kept for name in _pull_secrets(item)} - set(selection.secrets))
    if pulls:
        notes.append(
            f"pull secrets {_names(pulls)} are not copied: images must be on the nodes, or need no credentials"
        )
    secrets = [_placeholder(name, selection.namespace) for name in selection.secrets]
    places = [_labelled(namespace)] if namespace else []
    return Copy((*places, *secrets, *map(manifest_of, kept)), tuple(notes))


def secret_refusals(objects: Sequence[Object], selection: CopySelection, policy: Policy) -> list[str]:
    """Return what is missing to copy the Secrets that the pods of these objects need, and how to allow it."""
    needed: dict[str, list[str]] = {}
    for source in pod_sources(objects):
        for (kind, name), optional in references_of(source):
            if kind == "Secret" and not optional and name not in selection.secrets:
                needed.setdefault(name, []).append(reference(source.item))
    found = []
    if needed:
        uses = "; ".join(f"{name} (used by {_names(sorted(set(users)))})" for name, users in sorted(needed.items()))
        names = sorted({*needed, *selection.secrets})
        found.append(
            f"the copy needs Secrets that are not named: {uses}; to copy them, set secrets: [{', '.join(names)}] here "
            f"and copySecrets: [{', '.join(names)}] in {FILE}"
        )
    forbidden = sorted(name for name in selection.secrets if not policy.may_copy(name))
    if forbidden and not needed:
        listing = ", ".join(forbidden)
        found.append(f"the guard does not allow to copy the Secrets {listing}: set copySecrets: [{listing}] in {FILE}")
    return found


def missing_secrets(api: KubeApi, selection: CopySelection) -> list[str]:
    """Return the named Secrets that do not exist or may not be read. Raises ApiError."""
    found = []
    for name in selection.secrets:
        try:
            api.get(SECRETS, name, selection.namespace)
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            why = "permission denied" if error.status == 403 else "there is none"
            found.append(f"cannot copy the Secret {name} of namespace {selection.namespace}: {why}")
    return found


def with_content(api: KubeApi, objects: Sequence[Object]) -> list[Object]:
    """Return the objects to apply, with the content of their Secrets. Raises Inconclusive if one cannot be read."""
    return [_filled(api, item) if _is_placeholder(item) else item for item in objects]


def _labelled(namespace: Object) -> Object:
    found = manifest_of(namespace)
    labels = {key: value for key, value in (found["metadata"].get("labels") or {}).items() if not key.startswith(_OURS)}
    # Annotations are left out: platforms keep ranges of user ids, projects and quotas in them.
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": found["metadata"]["name"], "labels": labels}}


def _placeholder(name: str, namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "annotations": {CONTENT_FROM: namespace}},
    }


def _is_placeholder(item: Object) -> bool:
    return item["kind"] == "Secret" and CONTENT_FROM in (item["metadata"].get("annotations") or {})


def _filled(api: KubeApi, item: Object) -> Object:
    metadata = item["metadata"]
    annotations = dict(metadata["annotations"])
    namespace = annotations.pop(CONTENT_FROM)
    try:
        found = api.get(SECRETS, metadata["name"], namespace)
    except ApiError as error:
        raise Inconclusive(f"the Secret {metadata['name']} of namespace {namespace} cannot be read: {error}") from error
    # What a twin's patch sets goes before the original.
    data = {**(found.get("data") or {}), **(item.get("data") or {})}
    return {
        "type": found.get("type", "Opaque"),
        **item,
        "data": data,
        "metadata": {**metadata, "annotations": annotations},
    }


def _left_out(item: Object, objects: Sequence[Object]) -> str:
    """Return why an object is not copied, or an empty string."""
    kind, name = reference(item), item["metadata"]["name"]
    if item["kind"] == "Ingress" or str(item["apiVersion"]).rpartition("/")[0] in _OUTWARD:
        return f"{kind} (it acts outside of its namespace, for example on host names)"
    if item["kind"] == "Job" and _is_over(item):
        return f"{kind} (it is over and would run again)"
    if item["kind"] == "PersistentVolumeClaim" and any(_claims(each, name) for each in objects):
        return f"{kind} (its StatefulSet makes a new one)"
    return ""


def _is_over(job: Object) -> bool:
    conditions = listed(mapping(job.get("status")).get("conditions"))
    return any(each.get("type") in {"Complete", "Failed"} and each.get("status") == "True" for each in conditions)


def _claims(item: Object, claim: str) -> bool:
    if item["kind"] != "StatefulSet":
        return False
    templates = listed(mapping(item.get("spec")).get("volumeClaimTemplates"))
    stems = (f"{template['metadata']['name']}-{item['metadata']['name']}" for template in templates)
    return any(re.fullmatch(rf"{re.escape(stem)}-\d+", claim) for stem in stems)


def _keeps_data(item: Object) -> bool:
    templates = mapping(item.get("spec")).get("volumeClaimTemplates")
    return item["kind"] == "PersistentVolumeClaim" or (item["kind"] == "StatefulSet" and bool(templates))


def _pull_secrets(item: Object) -> Iterator[str]:
    holders = [item] if item["kind"] == "ServiceAccount" else [source.spec for source in pod_sources([item])]
    for holder in holders:
        yield from (str(each["name"]) for each in listed(holder.get("imagePullSecrets")) if each.get("name"))


def _together(reasons: Collection[str]) -> Iterator[str]:
    """Yield one text for each reason, with the objects that have it."""
    by_reason: dict[str, list[str]] = {}
    for text in reasons:
        name, _, why = text.partition(" ")
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        yield f"{_names(names)} {why}"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
