"""The stored background load of a game day."""

from __future__ import annotations

from pydantic import Field

from harness.results.fact import Fact
from harness.results.traffic_record import LoadRecord


class BackgroundRecord(Fact):
    """The background load of one run of the day, from before its first experiment until its end."""

    run: str = Field(description="the run that generated it: a game day may continue in another run")
    namespace: str = Field(default="", description="namespace of the target; empty for a URL")
    started: str
    finished: str
    load: LoadRecord
    failure: str = Field(default="", description="why it was not generated as declared; empty: it was")
