"""The values that the checks of one experiment use: gathered once, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import defined_by, is_guess
from harness.cluster.kube.resources import NAMESPACES, Resource
from harness.common.errors import ApiError
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.safety.guard.existing import existing_refusals
from harness.safety.guard.policy import Policy


@dataclass(frozen=True, slots=True)
class Facts:
    """The guard's policy, the experiment's namespace, the time ``now`` in Unix seconds, and the workload's ``kinds``.

    ``kinds`` has the custom resources of the workload, by API version and kind: the resource that the cluster serves,
    or None. A kind that the workload itself defines is included only if the guard must know whether it is namespaced.
    ``refused`` are the guard's reasons against an existing namespace.
    """

    policy: Policy
    namespace: str
    now: float
    kinds: Mapping[tuple[str, str], Resource | None]
    refused: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run, experiment: Experiment) -> Self:
        """Gather the facts. Sends requests only for custom resources and existing namespaces. Raises ApiError."""
        objects = experiment.deployed
        defined = defined_by(objects) if experiment.disruptive else ()
        kinds = dict.fromkeys((item["apiVersion"], item["kind"]) for item in objects)
        served = {kind: _served(run.cluster.api, *kind) for kind in kinds if is_guess(*kind, defined)}
        policy, name, refused = run.policy_for(experiment), run.namespace_of(experiment), tuple[str, ...]()
        if experiment.existing:
            refused = tuple(existing_refusals(name, run.cluster.api.find(NAMESPACES, name), policy))
        return cls(policy, name, run.clock.wall(), served, refused)

    def is_cluster_wide(self, item: Object) -> bool:
        """Return whether a custom resource is cluster-scoped.

        False for an unknown kind, which fails when it is applied; its definition in the workload is cluster-scoped.
        Also for what runs in an existing namespace, which is not applied: it was found there."""
        resource = self.kinds.get((item["apiVersion"], item["kind"]))
        return resource is not None and not resource.namespaced


def _served(api: KubeApi, api_version: str, kind: str) -> Resource | None:
    try:
        return api.discover(api_version, kind)
    except ApiError as error:
        if error.not_found:
            return None
        raise
