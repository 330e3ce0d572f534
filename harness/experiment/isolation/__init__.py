"""Manifests as people publish them, moved to the namespaces of one experiment.

Manifests may name namespaces, in ``metadata`` and in references. Each namespace becomes one of the experiment: the one
with the most objects its main namespace, the others further ones. References inside the workload are rewritten with
them. All functions are pure.
"""

from harness.experiment.isolation.isolated import Isolated, OwnNamespace, isolated
from harness.experiment.isolation.layout import Layout

__all__ = ["Isolated", "Layout", "OwnNamespace", "isolated"]
