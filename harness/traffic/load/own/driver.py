"""The driver of a user's locustfile: the same commands and records as those of the built-in load."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from harness.common.clock import Clock
from harness.model.phase_names import BASELINE
from harness.model.timeline import LoadSummary
from harness.traffic.load.driver import RunningLoad, Worker, records_file
from harness.traffic.load.own.plan import OwnPlan, environment, write_settings
from harness.traffic.load.reader import RecordReader
from harness.traffic.load.secrets import check_secrets
from harness.traffic.process import Child


class RunningLocustfile(RunningLoad):
    """A running locustfile; its summary also has the users, the exceptions and the unfinished requests."""

    def __init__(self, worker: Worker, plan: OwnPlan, folder: Path, clock: Clock) -> None:
        super().__init__([worker], plan, folder, clock)
        self._reader, self._model = worker.reader, plan.load.model
        # The exceptions until the baseline, in the baseline; None outside of it.
        self._earlier: Counter[str] | None = None
        self._whole: LoadSummary | None = None

    @classmethod
    def launch(cls, plan: OwnPlan, folder: Path, clock: Clock) -> RunningLocustfile:
        """Start the process; write its settings, records and output to ``folder`` (``load-*``).

        Raises InputError with all problems of the locustfile, HarnessError if the process cannot be started.
        """
        check_secrets(plan.options, os.environ)
        folder.mkdir(parents=True, exist_ok=True)
        settings_file, records = folder / "load-settings.json", records_file(folder)
        write_settings(plan.settings(records.resolve()), settings_file)
        records.write_bytes(b"")
        process = Child.start(
            "the load process",
            plan.argv(settings_file.resolve()),
            folder / "load-output.log",
            environment(plan),
            plan.working_folder,
        )
        return cls(Worker(process, RecordReader(records), "the locustfile's process"), plan, folder, clock)

    def phase(self, name: str, at: float) -> None:
        """See ``RunningLoad.phase``."""
        super().phase(name, at)
        self._earlier = Counter(self._reader.exceptions) if name == BASELINE else None

    def failure(self) -> str | None:
        """See ``RunningLoad.failure``. Exceptions of tasks in the baseline are a failure too.

        Before it the target may not answer yet, and with the fault they may come from it. In the baseline the
        locustfile itself is wrong, and what it checks with ``assert`` would never count: an exception is not a failed
        request.
        """
        failed = super().failure()
        raised = Counter() if self._earlier is None else self._reader.exceptions - self._earlier
        if failed is None and raised:
            text, _ = raised.most_common(1)[0]
            return f"load: the locustfile raised {raised.total()} exceptions in the baseline, such as: {text}"
        return failed

    def stop(self) -> LoadSummary:
        """See ``RunningLoad.stop``. A request that had not ended by then was offered and not achieved."""
        if self._whole is None:
            summary, reader = super().stop(), self._reader
            self._whole = replace(
                summary,
                offered=summary.offered + len(reader.unfinished),
                model=self._model,
                users=tuple(reader.users),
                unfinished=tuple(reader.unfinished),
                exceptions=dict(reader.exceptions),
                notes=tuple(reader.notes),
            )
        return self._whole
