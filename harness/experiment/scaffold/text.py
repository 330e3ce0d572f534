"""The text of a new experiment file: every part with a comment that explains it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from harness.experiment.scaffold.draft import Draft
from harness.experiment.scaffold.subject import Subject

WIDTH = 118
_HEAD = "# yaml-language-server: $schema={schema}"


@dataclass(frozen=True, slots=True)
class Frame:
    """What does not depend on the fault: the experiment's name, the source of the workload, and the load.

    ``schema`` is the path of the JSON Schema relative to the file, ``rate`` is in requests a second.
    """

    name: str
    source: Any
    schema: str
    rate: int = 50
    path: str = "/"


def write(frame: Frame, subject: Subject, draft: Draft, safety: Mapping[str, Any], twin: Mapping[str, Any]) -> str:
    """Return the text of an experiment. ``safety`` and ``twin`` are what it and its twin permit."""
    lines = [
        _HEAD.format(schema=frame.schema),
        "apiVersion: resilience/v1",
        "kind: Experiment",
        f"metadata: {flow({'name': frame.name})}",
        *_comment("One sentence about users or data. Replace it by what you promise."),
        f"hypothesis: {flow(draft.hypothesis)}",
        *_comment(_about_source(frame.source)),
        f"workload: {flow(frame.source)}",
    ]
    if draft.disruptive:
        lines += _comment("It affects more than its own namespace, so a run needs --allow-disruptive.")
        lines.append("disruptive: true")
    lines += _traffic(frame, subject)
    lines += _comment(draft.why_phases)
    lines.append(f"phases: {flow({name: f'{seconds}s' for name, seconds in draft.phases.items()})}")
    if safety:
        lines += _comment("What the guard refuses by default: only this experiment may do it.")
        lines.append(f"safety: {flow(safety)}")
    lines += _comment(draft.fault.comment)
    lines += ["faults:", f"  - {_entry(draft.fault.value)}"]
    lines += _comment("What must hold meanwhile, in the weakest form that still matters to users.")
    lines.append("objectives:")
    last = ""
    for objective in draft.objectives:
        if objective.comment != last:
            lines += _comment(objective.comment, "  ")
        last = objective.comment
        lines.append(f"  - {_entry(objective.value)}")
    return "\n".join([*lines, *_twin(draft, twin)]) + "\n"


def flow(value: Any) -> str:  # noqa: ANN401 - any value of a file
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def _about_source(source: Any) -> str:  # noqa: ANN401 - text or an object
    if isinstance(source, str):
        return "The manifests, relative to this file or to experiments/; each run deploys them to a new namespace."
    if "copyOf" in source:
        return "A copy of what runs there, deployed to a new namespace; the original is not touched."
    return "Rendered to plain manifests, which each run deploys to a new namespace."


def _traffic(frame: Frame, subject: Subject) -> Iterator[str]:
    entrance = subject.entrance
    if entrance is None:
        yield from _comment(
            f"No load: no Service of the workload selects the pods of {subject.name}, so nothing measures users. "
            "The objectives judge what the cluster reports."
        )
        return
    if entrance.http:
        where = f" {entrance.only_inside}: pods there generate the load." if entrance.only_inside else ""
        yield from _comment(
            f"Requests arrive at this rate, however slow the answers are. {frame.rate}/s is modest, and enough to show "
            "98% within half a minute. path: one that users request. connectTimeout: a user who waits no longer."
            f"{where}"
        )
        options = {"path": frame.path, "connectTimeout": "500ms"}
        load = {"profile": "steady", "rate": f"{frame.rate}/s", "target": entrance.target, "options": options}
        yield f"load: {flow(load)}"
        return
    if entrance.only_inside:
        yield from _comment(
            f"No probes: {entrance.only_inside}, and probes come from this machine. The objectives judge what the "
            "cluster reports; with type NodePort, a prober could measure users."
        )
        return
    yield from _comment(
        f"Probes in place of a load: nothing in the manifests shows that {entrance.target} speaks HTTP. Each one opens "
        "a TCP connection."
    )
    yield "prober:"
    yield f"  - {flow({'tcp': {'target': entrance.target}, 'rate': '20/s'})}"


def _twin(draft: Draft, safety: Mapping[str, Any]) -> Iterator[str]:
    if draft.twin is None:
        yield from _comment(f"No twin ({draft.no_twin.removeprefix('no twin: ')}). Add one that must come out BROKEN.")
        return
    twin = draft.twin
    yield from _comment(
        "A twin is a weaker copy that must come out BROKEN: it shows that the experiment can fail. Run it with --twins."
    )
    yield "twins:"
    yield f"  {twin.name}:"
    yield f"    because: {flow(twin.because)}"
    yield "    patch:"
    yield textwrap.indent(yaml.safe_dump(dict(twin.patch), sort_keys=False, width=10_000).rstrip(), " " * 6)
    if safety:
        yield f"    safety: {flow(safety)}"
    yield f"    breaks: {flow(list(twin.breaks))}"


def _entry(value: Mapping[str, Any]) -> str:
    """Return an entry of a list of kinds: ``podKill: {…}``."""
    ((kind, parameters),) = value.items()
    return f"{kind}: {flow(parameters)}"


def _comment(text: str, indent: str = "") -> list[str]:
    """Return a comment, beginning with a capital unless it begins with code."""
    first = text[:1].upper() + text[1:] if text[:1].isalpha() else text
    start = f"{indent}# "
    return textwrap.wrap(
        first, WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False, break_on_hyphens=False
    )
