"""Operators: the controllers of custom resources, and servers of APIs, that the harness can install in its clusters.

Their objects are read from their own Go modules, so that definitions and programs always have the same version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from harness.cluster.components import ON_DEMAND
from harness.cluster.kube.autoscalers import reads_custom_metrics
from harness.cluster.kube.client import Object
from harness.cluster.local import binaries, custom_metrics, keda, vertical_autoscaler
from harness.common.progress import Progress

# The parser of libyaml, which PyYAML's wheels have, reads the large definitions ten times faster.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _never(item: Object) -> bool:
    del item
    return False


def _nothing(namespace: str) -> list[Object]:
    del namespace
    return []


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator: its ``name`` is that of its namespace.

    ``programs`` are its components, each with an image and a Deployment of its own name. ``kinds`` are the custom
    resources that it serves, by API version and kind; ``manifests`` are files of its module. ``arguments`` are added to
    those of a program, and ``others`` returns the objects that no file of the module has, for the namespace. ``home``
    is the namespace in its files, if that is another one; what they have elsewhere stays there. ``needed_for`` returns
    whether an object of another kind needs it.
    """

    name: str
    programs: tuple[str, ...]
    kinds: frozenset[tuple[str, str]] = frozenset()
    manifests: tuple[str, ...] = ()
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    others: Callable[[str], list[Object]] = _nothing
    home: str = ""
    needed_for: Callable[[Object], bool] = _never

    def serves(self, item: Object) -> bool:
        """Return whether an object of a workload needs it."""
        return (str(item["apiVersion"]), str(item["kind"])) in self.kinds or self.needed_for(item)


_ROLLOUTS = ("Rollout", "AnalysisTemplate", "AnalysisRun", "ClusterAnalysisTemplate", "Experiment")
OPERATORS = (
    Operator(
        "argo-rollouts",
        ("argo-rollouts",),
        frozenset(("argoproj.io/v1alpha1", kind) for kind in _ROLLOUTS),
        ("manifests/install.yaml",),
    ),
    Operator(
        "vertical-pod-autoscaler",
        vertical_autoscaler.PROGRAMS,
        frozenset({("autoscaling.k8s.io/v1", "VerticalPodAutoscaler")}),
        vertical_autoscaler.MANIFESTS,
        vertical_autoscaler.ARGUMENTS,
        vertical_autoscaler.webhook,
        home="kube-system",
    ),
    Operator("keda", keda.PROGRAMS, keda.KINDS, keda.MANIFESTS, keda.ARGUMENTS, keda.external_metrics),
    Operator(
        custom_metrics.PROGRAM,
        (custom_metrics.PROGRAM,),
        others=custom_metrics.objects,
        needed_for=reads_custom_metrics,
    ),
)


def operators_for(objects: Iterable[Object]) -> list[Operator]:
    """Return the operators that these objects need."""
    items = list(objects)
    return [operator for operator in OPERATORS if any(map(operator.serves, items))]


def operator_objects(operator: Operator, images: Mapping[str, str], node: str, progress: Progress) -> list[Object]:
    """Return the objects of an operator, to run on this node (its label kubernetes.io/hostname).

    ``images`` are those of its programs, by name. Namespaced objects name no namespace. Raises ClusterBroken if its
    module is not available.
    """
    component = next(each for each in ON_DEMAND if each.name == operator.programs[0])
    objects: list[Object] = []
    for path in operator.manifests:
        text = binaries.module_file(component, path, progress).read_text(encoding="utf-8")
        objects += [item for item in yaml.load_all(text, Loader=_LOADER) if item]
    home = operator.home or operator.name
    for item in objects:
        if item["metadata"].get("namespace") == home:
            del item["metadata"]["namespace"]
        for subject in item.get("subjects") or ():
            if subject.get("namespace", home) == home:
                subject["namespace"] = operator.name
    objects += operator.others(operator.name)
    for item in objects:
        if item["kind"] == "Deployment":
            _run_here(item, images[item["metadata"]["name"]], node, operator)
    return objects


def _run_here(deployment: Object, image: str, node: str, operator: Operator) -> None:
    pod = deployment["spec"]["template"]["spec"]
    # Beside the other addons, on a node that experiments do not target.
    pod["nodeSelector"] = {"kubernetes.io/hostname": node}
    pod["tolerations"] = [{"operator": "Exists"}]
    container = pod["containers"][0]
    container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    # The program has another path in the images that the harness builds; all images begin with it.
    container.pop("command", None)
    if probe := container.get("readinessProbe"):
        # Some manifests wait 20 s before they ask; the programs are ready sooner.
        probe |= {"initialDelaySeconds": 0, "periodSeconds": 1}
    if added := operator.arguments.get(deployment["metadata"]["name"]):
        container["args"] = [*(container.get("args") or ()), *added]
