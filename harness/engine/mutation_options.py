"""The options for mutation testing of experiments."""

from __future__ import annotations

from harness.common.option_values import optional, truth
from harness.engine.option import Option
from harness.experiment.mutation.catalogue import ALL, operators
from harness.model.quantities import parse_share


def percent(text: str) -> float:
    """Return a percentage such as 90 or 90%. Raises ValueError."""
    try:
        share = parse_share(f"{text.strip().removesuffix('%')}%")
    except ValueError:
        share = None
    if not isinstance(share, float) or not 0 <= share <= 1:
        raise ValueError("a percentage from 0 to 100, such as 90")
    return share * 100


MUTATION_OPTIONS = (
    Option(
        "mutate",
        "also run the mutants of each experiment: copies that lack one thing, such as the readiness probe; alone: all "
        "operators, or a list of them (give it with =)",
        sets="mutate",
        read=operators,
        metavar="OPERATORS",
        bare=ALL,
    ),
    Option(
        "mutation-score",
        "with --mutate, fail the run if a smaller share of the judged weaknesses is caught (default: never)",
        sets="mutation_score",
        read=optional(percent),
        metavar="PERCENT",
    ),
    Option(
        "mutate-every",
        "with --mutate, also run mutants whose weakness another experiment of this run has caught already",
        sets="mutate_every",
        read=truth,
        flag=True,
    ),
)
