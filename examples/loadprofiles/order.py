"""A user who opens the shop and orders: two requests for each arrival, the second with a check of its answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness import OK, Behaviour, Client, Reply


class Order(Behaviour):
    """GET the shop's page, then POST an order, which the server must return."""

    articles: Annotated[int, Field(ge=1)] = 20

    def arrive(self, client: Client, number: int) -> None:
        # A name must not vary without bound, since every report groups requests by it.
        if client.request("GET", "/", name="GET page") is None:
            return
        order = f'{{"run": "{client.run}", "article": {number % self.articles}}}'.encode()

        def is_returned(reply: Reply) -> str:
            if reply.status >= 400:
                return str(reply.status)
            return OK if order in reply.body else "wrong answer"

        client.request("POST", "/echo", body=order, name="POST order", check=is_returned)

    def probe(self, client: Client) -> None:
        """Check the target without an order, since this happens before the experiment."""
        client.request("GET", "/", name="GET page")
