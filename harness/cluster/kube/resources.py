"""The API resources that the harness uses, with the names in their REST paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One REST resource. ``group_version`` is ``v1`` for the core group, else ``group/version``."""

    group_version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def base(self) -> str:
        """The path of the group and version."""
        return f"/api/{self.group_version}" if "/" not in self.group_version else f"/apis/{self.group_version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the REST path; of a namespaced resource without a namespace, that of all namespaces."""
        parts = [self.base]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


PODS = Resource("v1", "pods", "Pod")
SERVICES = Resource("v1", "services", "Service")
NODES = Resource("v1", "nodes", "Node", namespaced=False)
NAMESPACES = Resource("v1", "namespaces", "Namespace", namespaced=False)
CONFIG_MAPS = Resource("v1", "configmaps", "ConfigMap")
SECRETS = Resource("v1", "secrets", "Secret")
EVENTS = Resource("v1", "events", "Event")
VOLUME_CLAIMS = Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet")
STATEFUL_SETS = Resource("apps/v1", "statefulsets", "StatefulSet")
DAEMON_SETS = Resource("apps/v1", "daemonsets", "DaemonSet")
CONTROLLER_REVISIONS = Resource("apps/v1", "controllerrevisions", "ControllerRevision")
REPLICATION_CONTROLLERS = Resource("v1", "replicationcontrollers", "ReplicationController")
JOBS = Resource("batch/v1", "jobs", "Job")
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")
AUTOSCALERS = Resource("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
BUDGETS = Resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")
STORAGE_CLASSES = Resource("storage.k8s.io/v1", "storageclasses", "StorageClass", namespaced=False)
POD_METRICS = Resource("metrics.k8s.io/v1beta1", "pods", "PodMetrics")
ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False)
# The APIService through which every client reads the metrics of pods.
METRICS_API = "v1beta1.metrics.k8s.io"
# The one through which autoscalers read external metrics. A cluster has only one.
EXTERNAL_METRICS_API = "v1beta1.external.metrics.k8s.io"
# The one for any other metric of pods and of objects.
CUSTOM_METRICS_API = "v1beta2.custom.metrics.k8s.io"
API_SERVICES = Resource("apiregistration.k8s.io/v1", "apiservices", "APIService", namespaced=False)

INGRESSES = Resource("networking.k8s.io/v1", "ingresses", "Ingress")
GATEWAYS = Resource("gateway.networking.k8s.io/v1", "gateways", "Gateway")
HTTP_ROUTES = Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute")

# Of Argo Rollouts. Only clusters with its CustomResourceDefinitions serve it.
ROLLOUTS = Resource("argoproj.io/v1alpha1", "rollouts", "Rollout")

# Of the Vertical Pod Autoscaler. Only clusters with its CustomResourceDefinitions serve it.
VERTICAL_AUTOSCALERS = Resource("autoscaling.k8s.io/v1", "verticalpodautoscalers", "VerticalPodAutoscaler")

# The kinds permitted in `of: <kind>/<name>` of an experiment.
BUILT_IN_WORKLOADS = {"deployment": DEPLOYMENTS, "statefulset": STATEFUL_SETS, "daemonset": DAEMON_SETS}
WORKLOADS = {**BUILT_IN_WORKLOADS, "rollout": ROLLOUTS}
