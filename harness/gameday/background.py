"""Background load over the whole game day, on a target that exists already: a Service of a namespace, or a URL.

The guard's rules are those of experiments in existing namespaces: the namespace must have opted in, and the host of a
URL must be in the guard file. The load is generated on the machine of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from harness.common.documents import Document
from harness.common.errors import InputError, Problem
from harness.experiment.load import Load
from harness.experiment.target_checks import behaviour_of
from harness.model.quantities import Namespace, Rate
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.target.declaration import Target

# Every request is kept until the end of the day, so that a day of 8 h has at most 2.9 million.
MOST = 100.0


class Background(BaseModel):
    """A steady load on a target that exists, from before the first experiment until the end of the day."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    target: Target = Field(description="where the load goes, such as service/shop:http, or a URL")
    namespace: Namespace | None = Field(default=None, description="the target's namespace; none for a URL")
    rate: Annotated[Rate, Field(le=MOST)] = Field(description=f"arrivals per second, at most {MOST:g}/s")
    behaviour: str = Field(default="http", description="what each arrival does, as in the load of experiments")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the behaviour")

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.target.kind == "url" and self.namespace:
            raise ValueError("found namespace with a URL, expected none: it is outside of the cluster")
        if self.target.kind != "url" and not self.namespace:
            raise ValueError(f"namespace is missing, expected the namespace of {self.target}")
        return self

    @property
    def load(self) -> Load:
        """The same as the load of an experiment."""
        fields: Mapping[str, Any] = {"rate": self.rate, "target": self.target, "options": self.options}
        return Load.model_validate({**fields, "behaviour": self.behaviour, "from": "machine"})


def background_problems(background: Background, catalogue: Catalogue, document: Document) -> list[Problem]:
    """Return what is wrong with the behaviour of a background load and its options."""
    try:
        behaviour_of(background.load, catalogue)
    except InputError as error:
        return [document.problem(("load", "behaviour"), problem.message) for problem in error.problems]
    return []
