"""A live object as the manifest that a user would have written."""

from __future__ import annotations

from typing import Any

from harness.cluster.kube.client import Object
from harness.experiment.live.cleaning import manifest_of

METADATA = {
    "name": "shop",
    "namespace": "shop",
    "uid": "1",
    "resourceVersion": "7",
    "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "finalizers": ["example.com/protect"],
    "ownerReferences": [{"kind": "Chart", "name": "shop", "uid": "2"}],
    "managedFields": [{"manager": "kubectl"}],
    "labels": {"app": "shop", "kustomize.toolkit.fluxcd.io/name": "shop"},
    "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "deployment.kubernetes.io/revision": "4",
        "meta.helm.sh/release-name": "shop",
        "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/shop",
        "example.com/owner": "web",
    },
}
CLEAN = {"name": "shop", "namespace": "shop", "labels": {"app": "shop"}, "annotations": {"example.com/owner": "web"}}


def _live(kind: str, spec: dict[str, Any], **fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": METADATA, "spec": spec, "status": {"a": 1}, **fields}


def test_deployment_is_as_its_manifest_was() -> None:
    container = {
        "name": "shop",
        "image": "shop:1",
        "imagePullPolicy": "IfNotPresent",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
            "timeoutSeconds": 5,
        },
    }
    pod = {
        "containers": [container],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "shop",
        "serviceAccountName": "shop",
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "files", "configMap": {"name": "files", "defaultMode": 420}}],
    }
    spec = {
        "replicas": 2,
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {"metadata": {"creationTimestamp": None, "labels": {"app": "shop"}}, "spec": pod},
    }
    live = _live("Deployment", spec)
    found = manifest_of(live)
    assert found == {
        "apiVersion": "v1",
        "kind": "Deployment",
        "metadata": CLEAN,
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {
                    "containers": [
                        {
                            "name": "shop",
                            "image": "shop:1",
                            "imagePullPolicy": "IfNotPresent",
                            "ports": [{"containerPort": 80}],
                            "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "timeoutSeconds": 5},
                        }
                    ],
                    "serviceAccountName": "shop",
                    "volumes": [{"name": "files", "configMap": {"name": "files"}}],
                },
            },
        },
    }
    # The live object itself is unchanged.
    assert live["spec"]["template"]["spec"]["schedulerName"] == "default-scheduler"


def test_service_loses_its_addresses() -> None:
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "externalIPs": ["192.0.2.1"],
        "loadBalancerIP": "192.0.2.2",
        "healthCheckNodePort": 30001,
        "allocateLoadBalancerNodePorts": True,
        "externalTrafficPolicy": "Cluster",
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "selector": {"app": "shop"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080, "protocol": "TCP"}],
    }
    assert manifest_of(_live("Service", spec))["spec"] == {
        "type": "NodePort",
        "selector": {"app": "shop"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    }


def test_headless_service_stays_headless() -> None:
    spec = {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "selector": {"app": "shop"}}
    assert manifest_of(_live("Service", spec))["spec"]["clusterIP"] == "None"


def test_claims_start_empty() -> None:
    kept = {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast"}
    claim = {**kept, "volumeName": "pv-1", "volumeMode": "Filesystem", "dataSource": {"kind": "VolumeSnapshot"}}
    assert manifest_of(_live("PersistentVolumeClaim", claim))["spec"] == kept
    metadata = {"name": "data", "creationTimestamp": None}
    template = {"metadata": metadata, "spec": dict(claim), "status": {"phase": "Pending"}}
    (found,) = manifest_of(_live("StatefulSet", {"volumeClaimTemplates": [template]}))["spec"]["volumeClaimTemplates"]
    assert found == {"metadata": {"name": "data"}, "spec": kept}


def test_job_loses_the_marks_of_its_controller() -> None:
    labels = {"app": "job", "controller-uid": "1", "batch.kubernetes.io/job-name": "shop"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": dict(labels)}, "spec": {}}}
    found = manifest_of(_live("Job", spec))["spec"]
    assert found == {"template": {"metadata": {"labels": {"app": "job"}}, "spec": {}}}


def test_service_account_has_no_tokens_of_the_original() -> None:
    live = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": METADATA, "secrets": [{"name": "shop-token"}]}
    assert manifest_of(live) == {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": CLEAN}
