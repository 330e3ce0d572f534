"""Manifests as people publish them, deployed by whole experiments on a fake cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.extensions import DefinitionController, JobController
from harness.cluster.fake.server import Call
from harness.cluster.kube.permissions import resource_of
from harness.cluster.kube.resources import NAMESPACES, PODS
from harness.common.errors import UndoFailed
from harness.engine.options import Keep
from harness.engine.plan.plan import plan
from harness.engine.plan.text import render
from harness.engine.steps.live import LiveExperiment
from harness.experiment.declaration import Control, Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.registry import undo_actions
from harness.experiment.sources import Sources
from harness.faults.pod_kill import PodKill
from harness.faults.scale import Scale
from harness.model.verdict import Verdict
from harness.safety.undo.journal import read_journal, undo_entries
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import EXPERIMENT, Stage, write_project

TWO = """\
apiVersion: v1
kind: Namespace
metadata: {name: front, labels: {pod-security.kubernetes.io/enforce: baseline}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: front}
data: {db: "store.data:5432"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: front}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: store, namespace: data}
spec:
  replicas: 2
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec: {containers: [{name: store, image: "${image:podinfo}"}]}
---
apiVersion: v1
kind: Service
metadata: {name: store, namespace: data}
spec: {selector: {app: store}, ports: [{port: 5432}]}
"""
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: a, image: "${image:podinfo}"}]}
"""
WIDGETS = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: widgets}
webhooks:
- name: widgets.example.org
  admissionReviewVersions: [v1]
  sideEffects: None
  rules: [{apiGroups: [HOOKED], apiVersions: [v1], operations: [CREATE], resources: ["*"]}]
  clientConfig: {service: {name: store, namespace: data}}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: one, namespace: front}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
"""

WEBHOOK = "ValidatingWebhookConfiguration/widgets"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    made = Stage(tmp_path)
    server = made.cluster.server
    server.store.reactors += [JobController(), DefinitionController(server)]
    return made


def marked(stage: Stage, manifests: str, **changes: Any) -> Experiment:
    return replace(published(stage, manifests), faults=(Mark(),), objectives=(Told(),), **changes)


def published(stage: Stage, manifests: str, text: str = EXPERIMENT) -> Experiment:
    file = write_project(stage.root, text)
    (stage.root / "experiments" / "workloads" / "shop" / "published.yaml").write_text(manifests)
    return load_experiment(file, Sources.for_root(stage.root))


def created(stage: Stage) -> list[str]:
    """The objects that were applied, as kind/name, in order."""

    def name(call: Call) -> str:
        return f"{call.body['kind']}/{call.body['metadata']['name']}"

    calls = stage.cluster.server.calls
    return [name(call) for call in calls if call.method == "PATCH" and call.writes and "fieldManager" in call.query]


def removed(stage: Stage) -> list[str]:
    """The namespaces, webhooks, definitions and custom resources that are gone, as kind/name, in order."""
    kinds = {"Namespace", "Widget", "ValidatingWebhookConfiguration", "CustomResourceDefinition"}
    gone = (change for change in stage.cluster.server.store.history if change.type == "DELETED")
    return [f"{each.resource.kind}/{each.object['metadata']['name']}" for each in gone if each.resource.kind in kinds]


def test_every_namespace_is_made_watched_and_removed(stage: Stage) -> None:
    experiment = marked(stage, TWO)
    run = stage.run()
    other = run.namespace_of(experiment, of="data")
    with LiveExperiment(run, experiment, stage.root) as live:
        live.deploy(experiment.workload.rendered(stage.cluster.image))
        store = stage.cluster.server.store
        assert live.namespaces == [stage.namespace, other]
        labels = store.get(NAMESPACES, "", stage.namespace)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
        assert len(store.list(PODS, other)) == 2
        assert len(store.list(PODS, stage.namespace)) == 3
        settings = resource_of("v1", "ConfigMap")
        assert store.get(settings, stage.namespace, "settings")["data"] == {"db": f"store.{other}:5432"}
        assert live.timeline.latest("workloads", "deployment/store") is not None
        assert live.timeline.latest("workloads", "deployment/shop") is not None
        assert live.timeline.latest("endpoints", "store") is None
    assert stage.namespaces() == []


def test_rewrites_are_shown_and_recorded(stage: Stage) -> None:
    experiment = marked(stage, TWO)
    record = stage.play(experiment)
    assert record.verdict is Verdict.HELD
    main, other = stage.run().namespace_of(experiment), stage.run().namespace_of(experiment, of="data")
    notes = [
        f"namespace front → {main} (4 objects, 1 label)",
        f"namespace data → {other} (2 objects, 1 reference)",
    ]
    assert record.notes == notes
    assert [line.partition(": ")[2] for line in stage.said if "→ rh" in line] == notes
    shown = render(plan(stage.run(), experiment))
    assert f"  create namespace {other}, deleted at the end" in shown
    assert all(f"  {note}" in shown for note in notes)


@pytest.mark.parametrize("fault", [PodKill(selector="app=store"), Scale(of="deployment/store", replicas=1)])
def test_fault_hits_the_namespace_of_its_objects(stage: Stage, fault: PodKill | Scale) -> None:
    experiment = replace(published(stage, TWO), faults=(fault,), objectives=(Told(),))
    stage.play(experiment)
    other = stage.run().namespace_of(experiment, of="data")
    kind = "pods" if isinstance(fault, PodKill) else "deployments"
    hits = [call for call in stage.cluster.server.calls if call.writes and f"/{kind}/store" in call.path]
    assert {call.namespace for call in hits if call.method in {"DELETE", "PATCH"}} == {other}
    assert "unknown" not in render(plan(stage.run(), experiment))


def test_fault_on_two_namespaces_is_refused(stage: Stage) -> None:
    text = EXPERIMENT.replace("selector: app=shop", "selector: 'app in (shop, store)'")
    with pytest.raises(
        Exception, match="matches pods in the namespaces front and data, expected pods of one namespace"
    ):
        published(stage, TWO, text)


def test_control_arm_has_other_namespaces(stage: Stage) -> None:
    (stage.root / "experiments" / "workloads" / "shop").mkdir(parents=True)
    experiment = replace(marked(stage, TWO), control=Control())
    run = stage.run()
    with LiveExperiment(run, experiment, stage.root) as live:
        live.deploy(experiment.workload.rendered(stage.cluster.image))
        assert len(set(live.namespaces)) == len(stage.namespaces()) == 4
    assert stage.namespaces() == []


def test_kept_namespaces_are_all_named(stage: Stage) -> None:
    stage.keep = Keep.ALWAYS
    record = stage.play(marked(stage, TWO))
    assert [note for note in record.notes if note.endswith("was kept")] == [
        f"namespace {name} was kept" for name in sorted(stage.namespaces(), key=len)
    ]


@pytest.mark.parametrize(("control", "of"), [(False, "x" * 63), (True, "x" * 63), (False, "data")])
def test_names_of_namespaces_are_dns_labels(stage: Stage, *, control: bool, of: str) -> None:
    name = stage.run().namespace_of(stage.experiment(), control=control, of=of)
    assert len(name) <= 63
    assert name not in {stage.namespace, stage.run().namespace_of(stage.experiment(), control=not control, of=of)}


def test_complete_job_is_waited_for(stage: Stage) -> None:
    assert stage.play(marked(stage, JOB)).verdict is Verdict.HELD


def test_failed_job_is_the_reason(stage: Stage) -> None:
    _jobs(stage).failing.add("migrate")
    record = stage.play(marked(stage, JOB))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "job/migrate has failed (BackoffLimitExceeded: too many failures)" in record.reason
    assert stage.namespaces() == []


def test_endless_job_is_the_reason_with_the_way_out(stage: Stage) -> None:
    _jobs(stage).endless.add("migrate")
    record = stage.play(marked(stage, JOB))
    assert "job/migrate is not complete (0 active, 0 succeeded, 0 failed; annotate it with" in record.reason


@pytest.mark.parametrize("change", [("migrate}", 'migrate, annotations: {resilience.harness/wait: "false"}}'),
                                    ("spec:\n  template", "spec:\n  suspend: true\n  template")])  # fmt: skip
def test_job_that_does_not_end_is_not_waited_for(stage: Stage, change: tuple[str, str]) -> None:
    _jobs(stage).endless.add("migrate")
    assert stage.play(marked(stage, JOB.replace(*change))).verdict is Verdict.HELD


@pytest.mark.parametrize(
    ("group", "last"), [("apps", "ValidatingWebhookConfiguration/widgets"), ("example.org", "Widget/one")]
)
def test_definition_comes_first_and_webhook_late(stage: Stage, group: str, last: str) -> None:
    text = EXPERIMENT.replace("hypothesis:", "disruptive: true\nhypothesis:")
    experiment = replace(
        published(stage, TWO + "---\n" + WIDGETS.replace("HOOKED", group), text), faults=(Mark(),), objectives=(Told(),)
    )
    record = stage.play(experiment)
    assert record.verdict is Verdict.HELD
    order = created(stage)
    definition, deployment, webhook, widget = (
        order.index(name)
        for name in ("CustomResourceDefinition/widgets.example.org", "Deployment/shop", WEBHOOK, "Widget/one")
    )
    assert definition < min(deployment, widget)
    assert deployment < webhook
    assert order[max(webhook, widget)] == last
    assert stage.namespaces() == []
    assert removed(stage)[:2] == [WEBHOOK, "Widget/one"]
    assert removed(stage)[-1] == "CustomResourceDefinition/widgets.example.org"


def test_journal_of_a_killed_run_removes_everything(stage: Stage) -> None:
    """As a sweep does, in another process: from the entries on disk alone."""
    text = EXPERIMENT.replace("hypothesis:", "disruptive: true\nhypothesis:")
    experiment = published(stage, TWO + "---\n" + WIDGETS.replace("HOOKED", "apps"), text)
    with LiveExperiment(stage.run(), experiment, stage.root) as live:
        live.deploy(experiment.workload.rendered(stage.cluster.image))
        entries = read_journal(stage.root / "undo.jsonl")
        undo_entries(entries, stage.cluster, undo_actions(), stage.clock, lambda _entry: None)
        gone = removed(stage)
        assert stage.namespaces() == []
    assert gone[:2] == [WEBHOOK, "Widget/one"]
    assert [name.partition("/")[0] for name in gone[2:]] == ["Namespace", "Namespace", "CustomResourceDefinition"]


def test_finalizer_that_nothing_removes_is_reported(stage: Stage) -> None:
    text = EXPERIMENT.replace("hypothesis:", "disruptive: true\nhypothesis:")
    held = WIDGETS.replace("HOOKED", "apps").replace("{name: one, ", "{name: one, finalizers: [example.org/queue], ")
    experiment = replace(published(stage, TWO + "---\n" + held, text), faults=(Mark(),), objectives=(Told(),))
    with pytest.raises(UndoFailed, match=r"still there: Widget/one \(finalizers: example.org/queue\)"):
        stage.play(experiment)


def _jobs(stage: Stage) -> JobController:
    return next(each for each in stage.cluster.server.store.reactors if isinstance(each, JobController))
