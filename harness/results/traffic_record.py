"""The stored records of traffic: the load of an experiment, and the streams of its prober."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.results.fact import Fact, Figures


class LoadRecord(Fact):
    """The planned and the generated load, in requests."""

    name: str = Field(default="", description="the name of one of several loads")
    profile: str
    target: str
    scale: float = Field(default=1.0, description="the factor of --load-scale, which the rate in profile already has")
    offered: int = Field(default=0, description="requests due according to the profile")
    achieved: int = Field(default=0, description="requests started")
    dropped: int = Field(default=0, description="requests due but never started")
    failed: int = Field(default=0, description="requests started without the expected response")
    saturated: bool = Field(
        default=False, description="whether the generator was the bottleneck, so that its latencies are not meaningful"
    )
    outcomes: dict[str, int] = Field(default_factory=dict, description="number of requests by outcome")
    latency: dict[str, Figures] = Field(
        default_factory=dict, description="by phase: p50, p95, p99 and max of successful requests in seconds"
    )
    model: Literal["open", "closed"] = Field(
        default="open",
        description="open: requests were due by the clock; closed: users waited for a response before they sent more",
    )
    users: int = Field(default=0, description="for a locustfile: the largest number of users at a time")
    waited: dict[str, float] = Field(
        default_factory=dict, description="closed model, by phase: the share of the users' time spent waiting, 0 to 1"
    )
    hidden: dict[str, int] = Field(
        default_factory=dict,
        description="closed model, by phase: requests that users did not send, measured by their pace in the baseline",
    )
    unfinished: int = Field(default=0, description="requests that had not ended when the load was stopped")
    exceptions: dict[str, int] = Field(
        default_factory=dict, description="number of exceptions of the locustfile's tasks, by text"
    )
    notes: list[str] = Field(default_factory=list)


class ProbeRecord(Fact):
    """One stream of the prober and its results, in probes."""

    name: str
    target: str
    protocol: Literal["http", "tcp", "grpc", "dns"]
    connection: Literal["new", "kept"]
    rate: float = Field(description="probes per second")
    timeout: float = Field(description="time limit of a probe in seconds")
    sent: int = 0
    failed: int = 0
    dropped: int = Field(default=0, description="probes due but never started")
    outcomes: dict[str, int] = Field(default_factory=dict, description="number of probes by outcome")
    latency: Figures = Field(
        default_factory=dict, description="p50, p95, p99 and max of good probes in seconds from their intended start"
    )
