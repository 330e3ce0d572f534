"""What the harness refuses to touch: every refusal is a ClusterRefused that says what is refused, and why."""

from harness.guard.contexts import DEFAULT_CONTEXTS, check_context
from harness.guard.nodes import check_nodes, is_control_plane
from harness.guard.reach import is_cluster_wide, is_harmless
from harness.guard.victims import PROTECTED_LABEL, check_namespace, check_reach, check_victims

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
