"""What the harness refuses to touch: every refusal is a ClusterRefused that says what is refused, and why."""

from harness.guard.contexts import DEFAULT_CONTEXTS, check_context
from harness.guard.victims import PROTECTED_LABEL, check_namespace, check_victims

__all__ = ["DEFAULT_CONTEXTS", "PROTECTED_LABEL", "check_context", "check_namespace", "check_victims"]
