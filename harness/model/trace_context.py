"""W3C trace context of an experiment: the ids of its trace and of its spans, derived from facts of its record.

The load sends the ids of the phase with each request, long before the spans themselves are exported. Both sides derive
the same ids, so that nothing needs to be passed between them. The trace id is the first 16 bytes of the SHA-256 of run,
file name, name, twin, round, attempt and rerun, one per line; a span id is the first 8 bytes of the SHA-256 of the
trace id and the span's name, one per line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# Whether the load's requests have the header `traceparent`, and with which flag.
Traced = Literal["off", "sampled", "unsampled"]


@dataclass(frozen=True, slots=True)
class TraceIds:
    """The ids of one trace; ``trace`` has 32 hexadecimal digits."""

    trace: str

    @classmethod
    def of(
        cls,
        run: str,
        *,
        file: str = "",
        name: str = "",
        twin: str = "",
        round: int = 0,  # noqa: A002 - as in the record
        attempt: int = 0,
        rerun: int = 0,
    ) -> TraceIds:
        """Return the ids of an attempt of an experiment; of the run itself with its id alone."""
        return cls(_digest([run, file, name, twin, str(round), str(attempt), str(rerun)], 16))

    def span(self, *names: str) -> str:
        """Return the id of a span, 16 hexadecimal digits. The root span has no name."""
        return _digest([self.trace, *names], 8)

    def header(self, span: str, traced: Traced) -> str:
        """Return the value of ``traceparent`` for requests below a span; "" if they have none."""
        return "" if traced == "off" else f"00-{self.trace}-{span}-{'01' if traced == 'sampled' else '00'}"

    def headers(self, phases: Iterable[str], traced: Traced) -> dict[str, str]:
        """Return the values of ``traceparent`` by phase, and before the first one under "". Empty if there are none."""
        if traced == "off":
            return {}
        return {"": self.header(self.span(), traced)} | {name: self.header(self.span(name), traced) for name in phases}


def _digest(parts: Iterable[str], size: int) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[: 2 * size]
