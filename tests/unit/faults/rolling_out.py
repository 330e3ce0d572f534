"""Bad rollouts of the fake cluster's Deployment podinfo, for the tests of their evidence and of their undo."""

from __future__ import annotations

from typing import Any

from harness.cluster.kube.resources import DEPLOYMENTS
from harness.faults.bad_rollout import BadRollout
from harness.faults.base import FaultContext
from harness.model.timeline import Victim
from tests.fake_world import NAMESPACE, World


def image_of(world: World) -> str:
    """Return the image of the Deployment podinfo."""
    item = world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)
    return str(item["spec"]["template"]["spec"]["containers"][0]["image"])


def roll_out(world: World, **fields: Any) -> tuple[BadRollout, FaultContext, tuple[Victim, ...]]:
    """Inject a bad rollout of the Deployment podinfo."""
    context = world.context()
    fault = BadRollout(of="deployment/podinfo", **fields)
    victims = fault.choose(context)
    fault.inject(context, victims)
    return fault, context, victims
