"""``--grafana-url``: annotations of a run in Grafana: a region for each phase, and a mark for each fault.

They have the tags ``resilience``, the experiment's name, ``phase:NAME`` or ``fault:KIND``, ``context:NAME`` and, for a
twin, ``twin:NAME``. They belong to no dashboard, so that any dashboard can show them by these tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import requests

from harness.common.clock import Clock
from harness.common.errors import HarnessError
from harness.common.secret_values import one_line_of
from harness.common.waiting import retrying
from harness.engine.telemetry_options import Telemetry
from harness.results.record import ExperimentRecord, FaultRecord, RunRecord
from harness.results.reporting.overview import item_name, verdict_text
from harness.telemetry.moments import attempts, wall

TIMEOUT = 5.0
ATTEMPTS = 3
_BUSY = frozenset({429, 502, 503, 504})


class GrafanaError(HarnessError):
    """Grafana refused an annotation, or did not answer. ``retryable``: it did not take it and may take it later."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self._retryable = retryable

    @property
    def retryable(self) -> bool:
        return self._retryable


@dataclass(frozen=True, slots=True)
class Grafana:
    """A Grafana with the token of a service account, or a user in its URL."""

    url: str
    clock: Clock
    token: str = field(default="", repr=False)
    user: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, chosen: Telemetry, clock: Clock) -> Grafana:
        """Return the Grafana of the options. Raises HarnessError if its token file cannot be read."""
        parts = urlsplit(chosen.grafana)
        user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        file = chosen.grafana_token_file
        return cls(url, clock, one_line_of(file) if file else chosen.grafana_token, user)

    def annotate(self, run: RunRecord) -> None:
        """Post all annotations of a run. Raises GrafanaError at the first that is refused."""
        with requests.Session() as session:
            session.auth = self.user
            if self.token:
                session.headers["Authorization"] = f"Bearer {self.token}"
            for annotation in annotation_bodies(run):
                retrying(self.clock, ATTEMPTS)(self._post, session, annotation)

    def _post(self, session: requests.Session, annotation: dict[str, Any]) -> None:
        where = f"{self.url}/api/annotations"
        try:
            reply = session.post(where, json=annotation, timeout=TIMEOUT, allow_redirects=False)
        except requests.ConnectTimeout as error:
            raise GrafanaError(f"{where}: no connection in time", retryable=True) from error
        except requests.Timeout as error:
            # It may have taken the annotation: not again, or it would be there twice.
            raise GrafanaError(f"{where}: no answer in time") from error
        except (requests.RequestException, UnicodeError) as error:
            refused = isinstance(error, requests.ConnectionError)
            raise GrafanaError(f"{where}: cannot be reached", retryable=refused) from error
        if reply.status_code != requests.codes.ok:
            text = " ".join(reply.text[:200].split()).replace(self.token or "\0", "…")
            busy = reply.status_code in _BUSY
            raise GrafanaError(f"{where}: HTTP {reply.status_code} {text}".rstrip(), retryable=busy)


def annotation_bodies(run: RunRecord) -> Iterator[dict[str, Any]]:
    """Yield the bodies of ``POST /api/annotations``: times are Unix milliseconds, ``timeEnd`` makes a region."""
    place = [f"context:{run.environment.context}"] if run.environment and run.environment.context else []
    for record in attempts(run):
        tags = ["resilience", record.name, *place, *([f"twin:{record.twin}"] if record.twin else []), f"run:{run.run}"]
        title = f"{item_name(record)}{f', attempt {record.attempt}' if record.attempt else ''}"
        for phase in record.phases:
            body = {"time": _milliseconds(record, phase.start), "tags": [*tags, f"phase:{phase.name}"]}
            if phase.end is not None:
                body["timeEnd"] = _milliseconds(record, phase.end)
            yield {**body, "text": f"{title}: {phase.name} ({verdict_text(record)})"}
        for fault in record.faults:
            if fault.injected:
                body = {"time": _milliseconds(record, fault.injected.high), "tags": [*tags, f"fault:{fault.kind}"]}
                yield {**body, "text": f"{title}: {_described(fault)}"}


def _described(fault: FaultRecord) -> str:
    victims = ", ".join(f"{victim.kind.lower()}/{victim.name}" for victim in fault.victims)
    return f"{fault.kind}{f' on {victims}' if victims else ''}"


def _milliseconds(record: ExperimentRecord, at: float) -> int:
    return round(wall(record, at) * 1000)
