"""Render a plan as text."""

from __future__ import annotations

from collections.abc import Iterator

from harness.engine.plan.plan import Plan, PlannedFault

_MOST_OBJECTS = 12


def render(plan: Plan) -> str:
    """Return the plan as lines for a terminal."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield f"plan of {plan.title}"
    yield f"  on {plan.cluster}"
    for namespace in plan.namespaces:
        yield f"  create namespace {namespace}, deleted at the end"
    if plan.existing:
        yield f"  use existing namespace {plan.existing}: only the faults change it, and are undone"
    more = len(plan.objects) - _MOST_OBJECTS
    shown = ", ".join(plan.objects[:_MOST_OBJECTS]) + (f" and {more} more" if more > 0 else "")
    yield f"  {'on' if plan.existing else 'apply'} {shown}"
    if plan.source:
        yield f"  from {plan.source}"
    yield from (f"  {text}" for text in plan.isolation)
    if plan.note:
        yield f"  {plan.note}"
    yield from (f"  image {line}" for line in plan.images)
    yield f"  wait until the workload is ready, at most {plan.ready}"
    yield from (f"  {load}" for load in plan.loads)
    yield from (f"  prober: {probe}" for probe in plan.probes)
    lengths = ", ".join(f"{name} {length}" for name, length in plan.phases.lengths().items())
    yield f"  phases, at most {plan.phases.total:g} s: {lengths}"
    for fault in plan.faults:
        yield from _of_fault(fault)
    yield from (f"  objective {objective}" for objective in plan.objectives)
    yield f"  needs {len(plan.permissions)} permissions (harness rbac)"
    if plan.refusals:
        yield "  this experiment would not run:"
        yield from (f"    {reason}" for reason in plan.refusals)


def _of_fault(fault: PlannedFault) -> Iterator[str]:
    yield f"  fault {fault.title}"
    if fault.timing:
        yield f"    time: {fault.timing}"
    if fault.unknown:
        yield f"    unknown until the workload runs: {fault.unknown}"
        return
    for name, lines in (
        ("victim", fault.victims),
        ("call", fault.calls),
        ("undo", fault.undo),
        ("guess", fault.guess),
    ):
        yield from (f"    {name}: {line}" for line in lines)
