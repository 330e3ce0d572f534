"""The question whether an experiment may run now; a webhook may deny it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from harness.faults.base import Fault
from harness.model.timeline import Victim
from harness.results.fact import Fact
from harness.results.record import VictimRecord

Moment = Literal["run", "experiment", "injection"]


class FaultQuestion(Fact):
    """A fault that is about to be injected."""

    kind: str
    parameters: dict[str, object]
    victims: list[VictimRecord] = Field(default_factory=list, description="empty before the injection: not chosen yet")


class Question(Fact):
    """What is about to happen, and where."""

    moment: Moment = Field(
        description="run: at the start; experiment: before its workload is deployed; injection: after the baseline"
    )
    context: str = Field(description="the cluster, by the context of the kubeconfig")
    server: str = Field(description="URL of the API server")
    ownership: str = Field(description="owned: the harness created the cluster; foreign")
    experiment: str = Field(default="", description="name; empty at the start of the run")
    twin: str = ""
    mutant: str = Field(default="", description="mutation operator that weakened the workload; empty: none")
    file: str = Field(default="", description="path of the experiment file or of the Python test")
    namespace: str = Field(default="", description="namespace of the experiment")
    existing: bool = Field(default=False, description="whether the namespace existed before the run")
    disruptive: bool = Field(default=False, description="whether it may affect more than its namespaces")
    faults: list[FaultQuestion] = Field(
        default_factory=list, description="a Python test has none before the moment injection"
    )


def fault_question(fault: Fault, victims: Sequence[Victim] = ()) -> FaultQuestion:
    """Return the part of the question for one fault."""
    named = [VictimRecord(kind=each.kind, name=each.name, uid=each.uid) for each in victims]
    parameters = fault.model_dump(mode="json", by_alias=True, exclude_none=True)
    return FaultQuestion(kind=fault.kind, parameters=parameters, victims=named)


def allow_all(_question: Question) -> str:
    """Deny nothing: the veto of a run without a veto webhook."""
    return ""
