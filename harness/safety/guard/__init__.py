"""The guard: what the harness refuses to touch. Every refusal is a ClusterRefused with the object and the reason."""

from harness.safety.guard.contexts import DEFAULT_CONTEXTS, check_context
from harness.safety.guard.nodes import check_nodes, is_control_plane
from harness.safety.guard.reach import is_cluster_wide, is_harmless
from harness.safety.guard.victims import PROTECTED_LABEL, check_namespace, check_reach, check_victims

__all__ = [
    "DEFAULT_CONTEXTS",
    "PROTECTED_LABEL",
    "check_context",
    "check_namespace",
    "check_nodes",
    "check_reach",
    "check_victims",
    "is_cluster_wide",
    "is_control_plane",
    "is_harmless",
]
