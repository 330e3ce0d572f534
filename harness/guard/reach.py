"""Which objects of a workload reach beyond the namespace that the run makes for it.

Manifests may come from strangers. What lives in the experiment's namespace goes with it, and can do there what it
likes: a RoleBinding too, whatever role it names, since it grants that role in its own namespace only. What belongs to
no namespace works on everybody: a webhook that fails closed stops all admission, a ClusterRoleBinding makes its
subject whatever it says, an APIService takes over a part of the API. Such objects need ``disruptive: true``.

Harmless are only classes that nobody uses but who names them, and only in a form that nobody meets by default.
"""

from __future__ import annotations

from harness.cluster.api import Object

_NAMESPACED: dict[str, frozenset[str]] = {
    "": frozenset(
        {
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        }
    ),
    "apps": frozenset({"ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"}),
    "autoscaling": frozenset({"HorizontalPodAutoscaler"}),
    "batch": frozenset({"CronJob", "Job"}),
    "coordination.k8s.io": frozenset({"Lease"}),
    "discovery.k8s.io": frozenset({"EndpointSlice"}),
    "networking.k8s.io": frozenset({"Ingress", "NetworkPolicy"}),
    "policy": frozenset({"PodDisruptionBudget"}),
    "rbac.authorization.k8s.io": frozenset({"Role", "RoleBinding"}),
}
_CLUSTER_WIDE: dict[str, frozenset[str]] = {
    "": frozenset({"Namespace", "Node", "PersistentVolume"}),
    "admissionregistration.k8s.io": frozenset(
        {
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        }
    ),
    "apiextensions.k8s.io": frozenset({"CustomResourceDefinition"}),
    "apiregistration.k8s.io": frozenset({"APIService"}),
    "certificates.k8s.io": frozenset({"CertificateSigningRequest", "ClusterTrustBundle"}),
    "flowcontrol.apiserver.k8s.io": frozenset({"FlowSchema", "PriorityLevelConfiguration"}),
    "networking.k8s.io": frozenset({"IPAddress", "IngressClass", "ServiceCIDR"}),
    "node.k8s.io": frozenset({"RuntimeClass"}),
    "rbac.authorization.k8s.io": frozenset({"ClusterRole", "ClusterRoleBinding"}),
    "scheduling.k8s.io": frozenset({"PriorityClass"}),
    "storage.k8s.io": frozenset({"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"}),
}
# By this annotation a class is what everybody gets who names none; older clusters know it by a beta name.
_DEFAULT_CLASS = "/is-default-class"


def is_cluster_wide(item: Object) -> bool | None:
    """Whether an object belongs to no namespace, told by its kind alone; None where only a cluster knows: kinds that
    somebody has defined there, and those that are newer than this list."""
    group, kind = str(item["apiVersion"]).rpartition("/")[0], item["kind"]
    if kind in _CLUSTER_WIDE.get(group, ()):
        return True
    return False if kind in _NAMESPACED.get(group, ()) else None


def is_harmless(item: Object) -> bool:
    """Whether an object that belongs to no namespace changes nothing for those who do not name it."""
    group, kind = str(item["apiVersion"]).rpartition("/")[0], item["kind"]
    if (group, kind) == ("storage.k8s.io", "StorageClass"):
        annotations = item["metadata"].get("annotations") or {}
        return not any(str(key).endswith(_DEFAULT_CLASS) for key in annotations)
    if (group, kind) == ("scheduling.k8s.io", "PriorityClass"):
        # Pods of a class that preempts drive out everybody else's.
        return item.get("preemptionPolicy") == "Never" and not item.get("globalDefault")
    return False
