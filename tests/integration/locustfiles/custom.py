"""A client of another protocol, which reports its requests itself, and tasks that raise."""

import socket
import time

from locust import User, constant, events, task


@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--greeting", default="hello", env_var="LOCUST_GREETING")


class Client:
    def __init__(self, host, request_event):
        self._address = tuple(host.removeprefix("http://").split(":"))
        self._request_event = request_event

    def __getattr__(self, name):
        def call(*args):
            start, began = time.time(), time.perf_counter()
            meta = {"request_type": "rpc", "name": name, "response_length": 0, "context": {}, "exception": None}
            try:
                with socket.create_connection(self._address, timeout=1) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                    meta["response"] = connection.recv(100)
            except OSError as error:
                meta["exception"] = error
            meta["response_time"] = (time.perf_counter() - began) * 1000
            self._request_event.fire(start_time=start, **meta)
            return meta.get("response")

        return call


class RpcUser(User):
    wait_time = constant(0.02)

    def __init__(self, environment):
        super().__init__(environment)
        self.client = Client(self.host, environment.events.request)

    @task(5)
    def greet(self):
        getattr(self.client, self.environment.parsed_options.greeting)()

    @task(1)
    def stumble(self):
        raise ValueError("no such article")
