"""The kubeconfig contexts that experiments may use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from harness.common.errors import ClusterRefused

# Contexts of disposable clusters: the names that kind and the harness itself create.
DEFAULT_CONTEXTS = ("kind-*", "local-*")


def check_context(
    context: str,
    allowed: Collection[str] = (),
    *,
    named_in_full: bool = False,
    patterns: Sequence[str] = DEFAULT_CONTEXTS,
) -> None:
    """Raise ClusterRefused if experiments may not use a context.

    A context that matches ``patterns`` is allowed. Any other must be chosen by its full name *and* be listed by its
    full name in ``allowed``: two separate acts, so that a changed current context alone never leads to production.
    """
    listed = ", ".join(patterns)
    # Not fnmatch, which ignores case on some platforms.
    if any(fnmatchcase(context, pattern) for pattern in patterns):
        return
    if not named_in_full:
        raise ClusterRefused(
            f"context {context!r} matches none of the patterns that allow faults ({listed}); to use it all the same, "
            f"name it in full with --cluster={context} and list it in --cluster-allow"
        )
    if context not in allowed:
        raise ClusterRefused(
            f"context {context!r} was named in full, but matches none of the patterns that allow faults ({listed}) and "
            "is not listed in --cluster-allow"
        )
