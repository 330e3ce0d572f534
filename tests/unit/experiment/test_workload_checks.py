"""A workload's manifests: what would fail on the cluster is an error with file, line and field before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cluster.kube import published
from harness.cluster.kube.client import Object
from harness.common.errors import InputError
from harness.experiment.loading import load_experiment
from harness.experiment.manifests import Workload
from harness.experiment.sources import Sources
from harness.experiment.workload_checks import findings, load_checked
from tests.fake_run import EXPERIMENT, write_project

GOOD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      volumes: [{name: conf, configMap: {name: web-conf}}]
      containers:
        - name: web
          image: nginx:1.27
          ports: [{name: http, containerPort: 80}]
          env: [{name: LEVEL, value: info}]
          resources: {requests: {cpu: 100m, memory: 64Mi}}
          volumeMounts: [{name: conf, mountPath: /etc/web}]
          readinessProbe: {httpGet: {path: /, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http, protocol: TCP}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web-conf}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
"""


def problems(folder: Path, text: str) -> list[str]:
    """What is wrong with a workload of one file, without the file's name."""
    file = folder / "web.yaml"
    file.write_text(text)
    try:
        load_checked(folder)
    except InputError as error:
        return [str(problem).removeprefix(f"{file}:") for problem in error.problems]
    return []


def test_a_good_workload_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []


CONTAINER = "spec.template.spec.containers[0]"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("replicas: 2", 'replicas: "two"', "5: spec.replicas: found 'two', expected a whole number"),
        ("replicas: 2", "replicas: 2.5", "5: spec.replicas: found 2.5, expected a whole number"),
        ("replicas: 2", "replicas: true", "5: spec.replicas: found true, expected a whole number"),
        ("replicas: 2", "replcas: 2", "5: spec.replcas: unknown field of DeploymentSpec; did you mean replicas?"),
        (
            "kind: Deployment\nm",
            "kind: Deploymnt\nm",
            "2: kind: found Deploymnt, which apps/v1 does not have; did you mean Deployment?",
        ),
        (
            "apps/v1\n",
            "app/v1\n",
            "1: apiVersion: found app/v1, which Kubernetes v1.36.3 does not have, expected apps/v1 for a Deployment",
        ),
        (
            "autoscaling/v2\n",
            "autoscaling/v2beta2\n",
            "31: apiVersion: found autoscaling/v2beta2, which Kubernetes v1.36.3 does not have, expected "
            "autoscaling/v1 or autoscaling/v2 for a HorizontalPodAutoscaler",
        ),
        ("value: info", "value: 8080", f"15: {CONTAINER}.env[0].value: found 8080, expected text: write it in quotes"),
        ("value: info", "value: {a: b}", f"15: {CONTAINER}.env[0].value: found a mapping, expected text"),
        (
            "cpu: 100m",
            "cpu: 100mm",
            f"16: {CONTAINER}.resources.requests.cpu: found '100mm', expected a quantity such as 100m, 1.5 or 64Mi",
        ),
        (
            "protocol: TCP",
            "protocol: tcp",
            "25: spec.ports[0].protocol: found 'tcp', expected one of: SCTP, TCP, UDP; did you mean TCP?",
        ),
        ("- name: web\n", "- nam: web\n", f"12: {CONTAINER}.nam: unknown field of Container; did you mean name?"),
        ("- name: web\n          image", "- image", f"12: {CONTAINER}.name: missing, and Container requires it"),
        (
            "nginx:1.27",
            '"${imgae:agnhost}"',
            f"13: {CONTAINER}.image: found '${{imgae:agnhost}}', expected ${{image:NAME}}, "
            f"${{image:NAME:TAG}} or an image",
        ),
        ("nginx:1.27", '""', f"13: {CONTAINER}.image: found an empty text, expected an image reference"),
        (
            "nginx:1.27",
            "nginx:1:27",
            f"13: {CONTAINER}.image: found 'nginx:1:27', expected an image reference such as "
            "docker.io/library/nginx:1.27",
        ),
        (
            "{matchLabels: {app: web}}",
            "{matchLabels: {app: wbe}}",
            "6: spec.selector: does not match the labels of the object's pod template (app=web), "
            "expected the same in both",
        ),
        (
            "selector: {app: web}\n",
            "selector: {app: wbe}\n",
            "24: spec.selector: found app=wbe, which matches no pod of the workload (deployment/web has app=web)",
        ),
        (
            "selector: {app: web}\n",
            "selector: {ap: web}\n",
            "24: spec.selector: found ap=web, which matches no pod of the workload (deployment/web has app=web)",
        ),
        (
            "targetPort: http",
            "targetPort: htp",
            "25: spec.ports[0].targetPort: found the port htp of its pods, expected one of: http; did you mean http?",
        ),
        (
            "port: http}}",
            "port: htp}}",
            f"18: {CONTAINER}.readinessProbe.httpGet.port: found the port htp, expected one of: http; did "
            "you mean http?",
        ),
        (
            "Mounts: [{name: conf",
            "Mounts: [{name: cnf",
            f"17: {CONTAINER}.volumeMounts[0].name: found the volume cnf, expected one of: conf; did you mean conf?",
        ),
        (
            "configMap: {name: web-conf}",
            "configMap: {name: web-cnf}",
            "10: spec.template.spec.volumes[0].configMap.name: found the ConfigMap web-cnf, which pods need "
            "to start, expected one of: kube-root-ca.crt, web-conf; did you mean web-conf?",
        ),
        (
            "      volumes",
            "      serviceAccountName: robot\n      volumes",
            "10: spec.template.spec.serviceAccountName: found the ServiceAccount robot, which pods need to "
            "start, expected one of: default",
        ),
        (
            "Deployment, name: web}",
            "Deployment, name: wbe}",
            "34: spec.scaleTargetRef: found deployment/wbe, expected one of: deployment/web; did you mean "
            "deployment/web?",
        ),
        (
            "metadata: {name: web-conf}",
            "metadata: {name: Web_conf}",
            "29: metadata.name: found 'Web_conf', expected at most 253 characters: lower-case letters, "
            "digits, '-' and '.'",
        ),
        (
            "metadata: {name: web-conf}",
            "metadata: {name: web-conf}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web-conf}",
            "33: metadata.name: found a second configmap/web-conf, expected each object once",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_found_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    assert told in problems(tmp_path, GOOD.replace(old, new, 1))


def test_a_misspelt_list_is_unknown_and_missing(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD.replace("containers:", "contianers:")) == [
        "11: spec.template.spec.contianers: unknown field of PodSpec; did you mean containers?",
        "9: spec.template.spec.containers: missing, and PodSpec requires it",
    ]


def test_all_mistakes_are_listed_together(tmp_path: Path) -> None:
    text = GOOD.replace("port: 80, targetPort", "prt: 80, targetPort").replace("[{name: conf, m", "[{name: cnf, m")
    assert problems(tmp_path, text.replace("Deployment, name: web}", "Deployment, name: wbe}")) == [
        "25: spec.ports[0].prt: unknown field of ServicePort; did you mean port?",
        "25: spec.ports[0].port: missing, and ServicePort requires it",
        f"17: {CONTAINER}.volumeMounts[0].name: found the volume cnf, expected one of: conf; did you mean conf?",
        "34: spec.scaleTargetRef: found deployment/wbe, expected one of: deployment/web; did you mean deployment/web?",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cpu: 100m", "cpu: 1"),
        ("cpu: 100m", "cpu: 1.5"),
        ("cpu: 100m", 'cpu: "1e3"'),
        ("targetPort: http", "targetPort: 8080"),
        ("value: info", "value: null"),
        # Added while it runs, such as the role of a database's member.
        ("selector: {app: web}\n", "selector: {app: web, role: leader}\n"),
        # A cluster may put these into every namespace.
        ("configMap: {name: web-conf}", "configMap: {name: istio-ca-root-cert}"),
        ("configMap: {name: web-conf}", "configMap: {name: web-cnf, optional: true}"),
        # Of an operator nothing is known.
        (
            "selector: {app: web}\n",
            "selector: {app: wbe}\n---\napiVersion: a.org/v1\nkind: Any\nmetadata: {name: a}\nspec:\n",
        ),
        ("nginx:1.27", "localhost:5000/a/b:c@sha256:" + 64 * "0"),
    ],
)  # fmt: skip
def test_possibly_valid_manifest_is_not_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    assert problems(tmp_path, GOOD.replace(old, new, 1)) == []


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Gateway, plural: gateways}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, required: [host], properties: {host: {type: string}, port: {type: integer}}}
---
apiVersion: example.org/v1
kind: Gateway
metadata: {name: a}
spec: {hst: a, port: many}
"""


def test_a_custom_resource_is_checked_by_its_definition(tmp_path: Path) -> None:
    assert problems(tmp_path, CRD) == [
        "21: spec.hst: unknown field of spec; did you mean host?",
        "21: spec.port: found 'many', expected a whole number",
        "21: spec.host: missing, and spec requires it",
    ]


def test_a_twin_is_checked_as_it_will_be_deployed(tmp_path: Path) -> None:
    file = write_project(tmp_path, EXPERIMENT.replace("{replicas: 1}", "{replicas: one, replcas: 1}"))
    with pytest.raises(InputError) as caught:
        load_experiment(file, Sources.for_root(tmp_path))
    assert [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems] == [
        "14: twins.one-replica.patch.deployment/shop.spec.replicas: found 'one', expected a whole number",
        "14: twins.one-replica.patch.deployment/shop.spec.replcas: unknown field of DeploymentSpec; "
        "did you mean replicas?",
    ]


HALTS = "rolloutHalts: {of: deployment/shop, within: 25s}"
BAD = "badRollout: {of: deployment/shop, image: none}"


@pytest.mark.parametrize(
    ("fault", "objective", "told"),
    [
        (
            BAD,
            HALTS,
            "10: objectives[0].rolloutHalts.within: found 25 s, expected more than 600 s: "
            "progressDeadlineSeconds of deployment/shop is 600 s (the default): set a shorter deadline in "
            "the workload",
        ),
        (
            "badRollout: {of: deployment/shop, patch: {spec: {contianers: []}}}",
            "",
            "8: faults[0].badRollout.patch.spec.contianers: unknown field of PodSpec; did you mean containers?",
        ),
        (
            "badRollout: {of: deployment/shop, image: a, container: shp}",
            "",
            "8: faults[0].badRollout.container: found 'shp', expected one of shop of deployment/shop; "
            "did you mean shop?",
        ),
        (
            "processHang: {selector: app=shop, process: a, container: shp}",
            "",
            "8: faults[0].processHang.container: found 'shp', expected one of shop of deployment/shop; "
            "did you mean shop?",
        ),
    ],
)  # fmt: skip
def test_an_experiment_must_fit_its_workload(tmp_path: Path, fault: str, objective: str, told: str) -> None:
    text = EXPERIMENT.replace("podKill: {selector: app=shop, count: 1}", fault)
    text = text.replace("recoveryTime: {of: deployment/shop, max: 10s}", objective) if objective else text
    file = write_project(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_experiment(file, Sources.for_root(tmp_path))
    assert told in [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


ADDED = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: db}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 0 * * *"
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: nightly}}
        spec: {restartPolicy: Never, containers: [{name: a, image: a}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec: {replicas: 2, template: {metadata: {labels: {app: old}}, spec: {containers: [{name: a, image: a}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, labels: {app: bare}}
spec: {containers: [{name: a, image: a}]}
"""


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("statefulset.kubernetes.io/pod-name=db-0", True),
        ("statefulset.kubernetes.io/pod-name=bd-0", False),
        ("apps.kubernetes.io/pod-index=2", True),
        ("apps.kubernetes.io/pod-index=first", False),
        ("app=db,pod-template-hash=5b7", False),
        ("app=db,controller-revision-hash", True),
        ("!controller-revision-hash,app=db", False),
        ("pod-template-hash", True),
        ("app=nightly", True),
        ("batch.kubernetes.io/job-name=nightly-29384", True),
        ("job-name=weekly-29384", False),
        ("app=old", True),
        ("app=bare", True),
        ("app=bare,job-name=x", False),
        ("app=bare,role=leader", True),
        ("app=nobody", False),
        ("app=shop,pod-template-hash in (a, b)", True),
        ("app!=shop", True),
    ],
)  # fmt: skip
def test_only_a_selector_that_cannot_match_is_refused(tmp_path: Path, selector: str, found: bool) -> None:
    file = write_project(tmp_path, EXPERIMENT.replace("selector: app=shop", f'selector: "{selector}"'))
    (tmp_path / "experiments" / "workloads" / "shop" / "more.yaml").write_text(ADDED)
    refused = "but no pod of the workload has such labels"
    messages: list[str] = []
    try:
        load_experiment(file, Sources.for_root(tmp_path))
    except InputError as error:
        messages = [problem.message for problem in error.problems]
    # The guard may still refuse what the selector finds: the only replica, a pod without a controller.
    assert any(message.endswith(refused) for message in messages) is not found


def test_pods_that_an_operator_makes_may_have_any_labels(tmp_path: Path) -> None:
    file = write_project(tmp_path, EXPERIMENT.replace("selector: app=shop", "selector: cluster=db"))
    operated = "apiVersion: example.org/v1\nkind: Database\nmetadata: {name: db}\n"
    (tmp_path / "experiments" / "workloads" / "shop" / "db.yaml").write_text(operated)
    assert load_experiment(file, Sources.for_root(tmp_path)).name == "one-killed"


# Those that the checks look into.
FIELDS = st.sampled_from(
    [
        "spec",
        "template",
        "metadata",
        "labels",
        "name",
        "containers",
        "initContainers",
        "image",
        "ports",
        "volumes",
        "volumeMounts",
        "selector",
        "matchLabels",
        "matchExpressions",
        "replicas",
        "versions",
        "names",
        "schema",
        "openAPIV3Schema",
        "properties",
        "type",
        "enum",
        "required",
        "items",
        "group",
        "kind",
        "plural",
        "scaleTargetRef",
        "jobTemplate",
        "rules",
        "env",
        "envFrom",
        "valueFrom",
        "configMap",
        "targetPort",
        "readinessProbe",
        "httpGet",
        "port",
    ]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=3),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(sorted(published.kinds())),
    spec=st.dictionaries(FIELDS, ANYTHING, max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_a_manifest_of_any_form_is_good_or_has_findings(kind: tuple[str, str], spec: Object) -> None:
    item = {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": "a"}, "spec": spec}
    workload = Workload(Path(), (item,), ())
    assert all(found.message and found.item is item for found in findings(workload))
