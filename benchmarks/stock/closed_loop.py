"""As fast as it goes: every user sends its next request as soon as the last one was answered."""

from __future__ import annotations

from locust import FastHttpUser, constant, task

from benchmarks.stock.preparation import prepare


class ClosedLoop(FastHttpUser):
    """No wait time."""

    wait_time = constant(0)

    @task
    def get(self) -> None:
        """One request."""
        self.client.get("/healthz")


prepare()
