"""The shapes that people publish: a login, weights, tags, a failing check, and a page by its number."""

import os
import random

from locust import HttpUser, between, events, tag, task


@events.test_start.add_listener
def announce(environment, **kwargs):
    print(f"testing {environment.host} with {os.environ.get('SHOP_TOKEN', 'no token')}")


class Visitor(HttpUser):
    wait_time = between(0.01, 0.03)
    weight = 3

    def on_start(self):
        self.client.get("/login", name="log in", headers={"Authorization": os.environ.get("SHOP_TOKEN", "")})

    @tag("browse")
    @task(3)
    def article(self):
        self.client.get(f"/articles/{random.randint(1, 1000)}", name="/articles/[id]")

    @tag("check")
    @task
    def checked(self):
        with self.client.get("/checked", catch_response=True) as response:
            if response.text == "hi":
                response.failure(f"hi is not an article, said {os.environ.get('SHOP_TOKEN', '')}")


class Admin(HttpUser):
    wait_time = between(0.01, 0.03)

    @tag("admin")
    @task
    def overview(self):
        self.client.get("/admin")
