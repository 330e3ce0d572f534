"""At a rate, the way Locust paces: each user's share of it (``BENCH_USER_RATE`` a second), unless it has to wait."""

from __future__ import annotations

import os

from locust import FastHttpUser, constant_throughput, task

from benchmarks.stock.preparation import prepare


class Paced(FastHttpUser):
    """Locust's ``constant_throughput``."""

    wait_time = constant_throughput(float(os.environ["BENCH_USER_RATE"]))

    @task
    def get(self) -> None:
        """One request."""
        self.client.get("/healthz")


prepare()
