"""A plan as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.rehearsal.plan import Plan, PlannedFault

_MOST_OBJECTS = 12


def render(plan: Plan) -> str:
    """Lines for a terminal."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield f"plan of {plan.title}"
    for namespace in plan.namespaces:
        yield f"  make namespace {namespace}, deleted at the end"
    more = len(plan.objects) - _MOST_OBJECTS
    shown = ", ".join(plan.objects[:_MOST_OBJECTS]) + (f" and {more} more" if more > 0 else "")
    yield f"  apply {shown}"
    if plan.load:
        yield f"  load: {plan.load}"
    lengths = ", ".join(f"{name} {seconds:g} s" for name, seconds in plan.phases.items())
    yield f"  phases, at most {sum(plan.phases.values()):g} s: {lengths}"
    for fault in plan.faults:
        yield from _of_fault(fault)
    yield f"  needs {len(plan.permissions)} permissions (harness rbac)"
    if plan.against:
        yield "  it would not be carried out:"
        yield from (f"    {reason}" for reason in plan.against)


def _of_fault(fault: PlannedFault) -> Iterator[str]:
    yield f"  fault {fault.title}"
    if fault.unknown:
        yield f"    cannot be told before the workload runs: {fault.unknown}"
        return
    for name, lines in (
        ("victim", fault.victims),
        ("call", fault.calls),
        ("undo", fault.undo),
        ("guess", fault.guess),
    ):
        yield from (f"    {name}: {line}" for line in lines)
