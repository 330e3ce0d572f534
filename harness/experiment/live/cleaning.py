"""Turns a live object into a manifest: removes what the server, controllers and other tools wrote into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.patches.strategic import copied
from harness.common.shapes import listed, mapping
from harness.experiment.workload_checks.pods import pod_sources

# What users write. Not kept: finalizers, whose controllers serve only the original. The namespace and references to it
# are replaced when the objects are deployed.
_METADATA = ("name", "namespace", "labels", "annotations")
# Annotations and labels by which controllers and deployment tools recognize their own objects: a tool that found them
# on a copy could change or delete it.
_OTHERS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "control-plane.alpha.kubernetes.io/",
    "autoscaling.alpha.kubernetes.io/",
    "endpoints.kubernetes.io/",
    "batch.kubernetes.io/",
    "meta.helm.sh/",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "fleet.cattle.io/",
    "objectset.rio.cattle.io/",
)
# Labels that the Job controller adds to the pods of each Job.
_OF_JOBS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
# Defaults of the API server, left out because a manifest has no reason to name them.
_POD = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
_CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
_PROBE = {"periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3, "timeoutSeconds": 1}
_ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
_SPEC: dict[str, dict[str, Any]] = {
    "Deployment": {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10, "strategy": _ROLLING},
    "StatefulSet": {
        "podManagementPolicy": "OrderedReady",
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    },
    "DaemonSet": {"revisionHistoryLimit": 10},
    "Service": {"sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Cluster"},
    "PersistentVolumeClaim": {"volumeMode": "Filesystem"},
}
# Addresses and ports of the cluster, and those that other networks route to a Service.
_ADDRESSES = (
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "healthCheckNodePort",
    "externalIPs",
    "loadBalancerIP",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "allocateLoadBalancerNodePorts",
)


def manifest_of(item: Object) -> Object:
    """Return a copy of a live object without status, identity, addresses, defaults and the marks of other tools."""
    found = copied({key: value for key, value in item.items() if key != "status"})
    metadata = {key: found["metadata"][key] for key in _METADATA if found["metadata"].get(key)}
    for key in ("labels", "annotations"):
        kept = {name: value for name, value in (metadata.pop(key, None) or {}).items() if not name.startswith(_OTHERS)}
        metadata |= {key: kept} if kept else {}
    found["metadata"] = metadata
    spec = found.get("spec")
    if isinstance(spec, dict):
        _clean_spec(str(found["kind"]), spec)
    if found["kind"] == "ServiceAccount":
        # Tokens of the original, which belong to its UID.
        found.pop("secrets", None)
    for source in pod_sources([found]):
        _clean_template(source.template, source.spec)
    return found


def _clean_spec(kind: str, spec: dict[str, Any]) -> None:
    _without(spec, _SPEC.get(kind, {}))
    if kind == "Service":
        headless = spec.get("clusterIP") == "None"
        for key in _ADDRESSES:
            spec.pop(key, None)
        spec |= {"clusterIP": "None"} if headless else {}
        if spec.get("type") == "LoadBalancer":
            spec["type"] = "NodePort"
        for port in listed(spec.get("ports")):
            port.pop("nodePort", None)
            _without(port, {"protocol": "TCP"})
    if kind == "Job":
        spec.pop("selector", None)
        spec.pop("manualSelector", None)
    if kind == "PersistentVolumeClaim":
        _clean_claim(spec)
    for claim in listed(spec.get("volumeClaimTemplates")):
        claim.pop("status", None)
        mapping(claim.get("metadata")).pop("creationTimestamp", None)
        _clean_claim(mapping(claim.get("spec")))


def _clean_claim(spec: dict[str, Any]) -> None:
    for key in ("volumeName", "dataSource", "dataSourceRef"):
        spec.pop(key, None)
    _without(spec, {"volumeMode": "Filesystem"})


def _clean_template(template: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    metadata = mapping(template.get("metadata"))
    metadata.pop("creationTimestamp", None)
    for key in _OF_JOBS:
        mapping(metadata.get("labels")).pop(key, None)
    if isinstance(spec, dict):
        _without(spec, _POD)
        # An old name of the same field.
        spec.pop("serviceAccount", None)
    for volume in listed(spec.get("volumes")):
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            _without(mapping(volume.get(source)), {"defaultMode": 420})
    for container in (*listed(spec.get("initContainers")), *listed(spec.get("containers"))):
        _without(container, _CONTAINER)
        for port in listed(container.get("ports")):
            _without(port, {"protocol": "TCP"})
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            found = mapping(container.get(probe))
            _without(found, _PROBE)
            _without(mapping(found.get("httpGet")), {"scheme": "HTTP"})


def _without(found: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    for key, value in defaults.items():
        if key in found and found[key] == value:
            del found[key]
