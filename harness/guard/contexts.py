"""Which clusters may be broken at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from harness.errors import ClusterRefused

# Contexts that are made to be broken: those that kind and the harness itself write.
DEFAULT_CONTEXTS = ("kind-*", "local-*")


def check_context(
    context: str,
    allowed: Collection[str] = (),
    *,
    named_in_full: bool = False,
    patterns: Sequence[str] = DEFAULT_CONTEXTS,
) -> None:
    """Whether experiments may run on a context.

    One that matches ``patterns`` may. Any other must be named in full where the cluster is chosen *and* stand, in full
    too, in ``allowed``: two separate acts, so that a changed current context alone never leads to production.
    """
    listed = ", ".join(patterns)
    if any(fnmatchcase(context, pattern) for pattern in patterns):
        return
    if not named_in_full:
        raise ClusterRefused(f"context {context!r} is not on the allow-list ({listed}) and was not named in full")
    if context not in allowed:
        raise ClusterRefused(
            f"context {context!r} was named in full, but neither it nor a pattern ({listed}) allows it"
        )
