"""Operators: the controllers of custom resources that the harness can install in the clusters that it made.

Their objects are read from their own Go modules, so that definitions and program always have the same version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from harness.cluster.components import ON_DEMAND
from harness.cluster.kube.client import Object
from harness.cluster.local import binaries
from harness.common.progress import Progress

# The parser of libyaml, which PyYAML's wheels have, reads the large definitions ten times faster.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator: its ``name`` is that of its component, image, Deployment and namespace.

    ``kinds`` are the custom resources that it serves, by API version and kind; ``manifest`` is a file of its module.
    """

    name: str
    kinds: frozenset[tuple[str, str]]
    manifest: str


_ROLLOUTS = ("Rollout", "AnalysisTemplate", "AnalysisRun", "ClusterAnalysisTemplate", "Experiment")
OPERATORS = (
    Operator(
        "argo-rollouts",
        frozenset(("argoproj.io/v1alpha1", kind) for kind in _ROLLOUTS),
        "manifests/install.yaml",
    ),
)


def operators_for(objects: Iterable[Object]) -> list[Operator]:
    """Return the operators that the custom resources among these objects need."""
    kinds = {(str(item["apiVersion"]), str(item["kind"])) for item in objects}
    return [operator for operator in OPERATORS if operator.kinds & kinds]


def operator_objects(operator: Operator, image: str, node: str, progress: Progress) -> list[Object]:
    """Return the objects of an operator, to run with this image on this node (its label kubernetes.io/hostname).

    Namespaced objects name no namespace. Raises ClusterBroken if its module is not available.
    """
    component = next(each for each in ON_DEMAND if each.name == operator.name)
    text = binaries.module_file(component, operator.manifest, progress).read_text(encoding="utf-8")
    objects: list[Object] = [item for item in yaml.load_all(text, Loader=_LOADER) if item]
    for item in objects:
        for subject in item.get("subjects") or ():
            subject["namespace"] = operator.name
        if item["kind"] == "Deployment":
            pod = item["spec"]["template"]["spec"]
            # Beside the other addons, on a node that experiments do not target.
            pod["nodeSelector"] = {"kubernetes.io/hostname": node}
            pod["tolerations"] = [{"operator": "Exists"}]
            pod["containers"][0] |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    return objects
