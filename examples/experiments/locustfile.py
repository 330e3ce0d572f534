"""A locustfile as you have it for `locust -f locustfile.py`: it has nothing of the harness in it."""

from locust import HttpUser, between, tag, task


class Reader(HttpUser):
    """Reads articles, and now and then looks at the start page."""

    wait_time = between(0.2, 0.6)

    @task(3)
    def article(self) -> None:
        """Get one article; the name groups them in reports."""
        self.client.get("/?article=7", name="/?article=[id]", timeout=2)

    @tag("start-page")
    @task
    def start_page(self) -> None:
        """Get the start page and check what it says."""
        with self.client.get("/", timeout=2, catch_response=True) as response:
            if not response.content:
                response.failure("the page is empty")
