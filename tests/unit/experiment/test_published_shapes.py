"""Workloads in the shapes in which projects publish them are accepted as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.experiment.workload_checks import load_checked

# A front end with two stores, as in a first tutorial: no namespaces, short Service names.
GUESTBOOK = """\
# SOURCE: a tutorial
apiVersion: apps/v1
kind: Deployment
metadata:
  name: store-leader
  labels: {app: store, role: leader, tier: backend}
spec:
  replicas: 1
  selector: {matchLabels: {app: store}}
  template:
    metadata:
      labels: {app: store, role: leader, tier: backend}
    spec:
      containers:
        - name: leader
          image: "docker.io/store:6"
          resources: {requests: &few {cpu: 100m, memory: 100Mi}, limits: *few}
          ports: [{containerPort: 6379}]
---
apiVersion: v1
kind: Service
metadata: {name: store-leader, labels: {app: store}}
spec:
  ports: [{port: 6379, targetPort: 6379}]
  selector: {app: store, role: leader}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: frontend}
spec:
  replicas: 3
  selector: {matchLabels: {app: guestbook, tier: frontend}}
  template:
    metadata: {labels: {app: guestbook, tier: frontend}}
    spec:
      containers:
        - name: web
          image: registry.example/guestbook:v5
          env: [{name: GET_HOSTS_FROM, value: dns}]
          ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: frontend}
spec: {type: LoadBalancer, ports: [{port: 80}], selector: {app: guestbook, tier: frontend}}
"""

# Several services with service accounts and roles, all in "default".
BOUTIQUE = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: checkout}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: endpoints-reader, namespace: default}
rules: [{apiGroups: [""], resources: [endpoints], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: checkout, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: endpoints-reader}
subjects: [{kind: ServiceAccount, name: checkout, namespace: default}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout}
spec:
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}, annotations: {sidecar.istio.io/rewriteAppHTTPProbers: "true"}}
    spec:
      serviceAccountName: checkout
      securityContext: {fsGroup: 1000, runAsNonRoot: true, runAsUser: 1000}
      containers:
      - name: server
        image: registry.example/checkout@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
        ports: [{containerPort: 5050}]
        env:
        - {name: PORT, value: "5050"}
        - {name: CART_ADDR, value: "cart.default:7070"}
        readinessProbe: {grpc: {port: 5050}}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {selector: {app: cart}, ports: [{name: grpc, port: 7070}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: cart}
spec:
  serviceName: cart
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart, image: registry.example/cart:v1}]}
"""

# An issuer of certificates: its own kinds, an API service, roles for the election of a leader elsewhere.
ISSUER = """\
apiVersion: v1
kind: Namespace
metadata: {name: issuer}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: requests.issuer.example, annotations: {cert-manager.io/inject-ca-from-secret: issuer/hook-ca}}
spec:
  group: issuer.example
  scope: Namespaced
  names: {plural: requests, singular: request, kind: Request, categories: [issuer]}
  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig: {service: {name: hook, namespace: issuer, path: /convert}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: issuer, namespace: issuer}
---
apiVersion: v1
kind: Secret
metadata: {name: hook-ca, namespace: issuer}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: issuer:leaderelection, namespace: kube-system}
rules: [{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: issuer:leaderelection, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: issuer:leaderelection}
subjects: [{apiGroup: "", kind: ServiceAccount, name: issuer, namespace: issuer}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: issuer:edit}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: issuer, namespace: issuer}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: issuer, namespace: issuer}
spec:
  selector: {matchLabels: {app: issuer}}
  template:
    metadata: {labels: {app: issuer}}
    spec:
      serviceAccountName: issuer
      containers:
      - name: issuer
        image: registry.example/issuer:v1.2.3
        args: ["--v=2", "--cluster-resource-namespace=$(POD_NAMESPACE)", "--leader-election-namespace=kube-system",
               "--dynamic-serving-dns-names=hook,hook.$(POD_NAMESPACE),hook.issuer.svc"]
        env: [{name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]
---
apiVersion: v1
kind: Service
metadata: {name: hook, namespace: issuer}
spec: {selector: {app: issuer}, ports: [{name: https, port: 443, targetPort: 10250}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.hook.issuer.example}
spec: {group: hook.issuer.example, version: v1, groupPriorityMinimum: 1000, versionPriority: 15,
       service: {name: hook, namespace: issuer}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: issuer-hook, annotations: {cert-manager.io/inject-ca-from-secret: issuer/hook-ca}}
webhooks:
- name: hook.issuer.example
  admissionReviewVersions: [v1]
  sideEffects: None
  namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [issuer]}]}
  rules: [{apiGroups: [issuer.example], apiVersions: [v1], operations: [CREATE], resources: ["*"]}]
  clientConfig: {service: {name: hook, namespace: issuer, path: /mutate}}
"""


@pytest.mark.parametrize(
    ("text", "namespaces"),
    [(GUESTBOOK, [""]), (BOUTIQUE, ["default"]), (ISSUER, ["issuer", "kube-system"])],
    ids=["guestbook", "boutique", "issuer"],
)
@pytest.mark.parametrize("form", ["as it is", "crlf", "byte order mark", "json", "list"])
def test_published_shapes_are_accepted(tmp_path: Path, text: str, namespaces: list[str], form: str) -> None:
    items = list(yaml.safe_load_all(text))
    forms = {
        "crlf": text.replace("\n", "\r\n"),
        "byte order mark": f"\ufeff{text}",
        "json": "\n".join(yaml.safe_dump(each, default_flow_style=True, width=10**6) + "---" for each in items),
        "list": yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}),
    }
    (tmp_path / "all.yaml").write_bytes(forms.get(form, text).encode())
    workload = load_checked(tmp_path)
    assert list(workload.layout.names) == namespaces
    moved = workload.isolated("rh-own")
    assert moved.outside == ()
    left = yaml.safe_dump_all(moved.objects)
    for name in namespaces:
        assert f"namespace: {name}\n" not in left
        assert f".{name}.svc" not in left
    assert "cart.default" not in left
