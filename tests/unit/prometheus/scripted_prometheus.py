"""A Prometheus that answers what a test tells it to, in the form of the real one's answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from harness.common.clock import FakeClock
from harness.prometheus.client import Prometheus
from harness.prometheus.session import Via

URL = "http://prometheus.invalid"


@dataclass(frozen=True)
class Asked:
    """One request: the page behind ``/api/v1/`` (or the path) and its parameters."""

    page: str
    query: dict[str, str]


def vector(
    *values: Any, labels: dict[str, str] | None = None, samples: int | None = None, **extra: Any
) -> dict[str, Any]:
    result = [{"metric": {**(labels or {}), "n": str(n)}, "value": [1.0, str(value)]} for n, value in enumerate(values)]
    stats = {} if samples is None else {"stats": {"samples": {"totalQueryableSamples": samples}}}
    return {"status": "success", "data": {"resultType": "vector", "result": result, **stats}, **extra}


def instant(*labels: dict[str, str]) -> dict[str, Any]:
    result = [{"metric": each, "value": [1.0, "0"]} for each in labels]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def matrix(*points: tuple[float, float]) -> dict[str, Any]:
    return series(({}, list(points)))


def series(*found: tuple[dict[str, str], list[tuple[float, float]]]) -> dict[str, Any]:
    result = [
        {"metric": labels, "values": [[at, str(value)] for at, value in points]} for labels, points in found if points
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def scalar(value: float) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "scalar", "result": [value, str(value)]}}


def targets(**intervals: str) -> dict[str, Any]:
    active = [{"labels": {"namespace": name}, "scrapeInterval": text} for name, text in intervals.items()]
    return {"status": "success", "data": {"activeTargets": [*active, {"labels": {}, "scrapeInterval": "1m0s"}]}}


def config(interval: str) -> dict[str, Any]:
    return {"status": "success", "data": {"yaml": f"global:\n  scrape_interval: {interval}\n"}}


def refused(status: int, error: str) -> tuple[int, dict[str, Any]]:
    return status, {"status": "error", "errorType": "bad_data", "error": error}


@dataclass
class Scripted(Via):
    """``answers`` by page: a body, a (status, body) pair, an exception, or a function of what was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        asked = Asked(parts.path.removeprefix("/api/v1/"), dict(parse_qsl(parts.query)))
        self.asked.append(asked)
        answer = self.answers.get(asked.page, (404, {"status": "error", "error": "not found"}))
        if isinstance(answer, Callable):
            answer = answer(asked)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        response = requests.Response()
        response.status_code, response.request, response.url = status, request, str(request.url)
        response.raw = BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        return response

    def close(self) -> None:
        self.answers = {}

    def clone(self) -> Scripted:
        return self

    def prometheus(self) -> Prometheus:
        return Prometheus(URL, via=self, clock=FakeClock())

    def queries(self, page: str = "query") -> list[Asked]:
        return [asked for asked in self.asked if asked.page == page]
