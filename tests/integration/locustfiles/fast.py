"""A FastHttpUser, a sequence, nested task sets, and a shape."""

from locust import FastHttpUser, LoadTestShape, SequentialTaskSet, TaskSet, constant, task


class Purchase(SequentialTaskSet):
    @task
    def look(self):
        self.client.get("/one")

    @task
    def put(self):
        self.client.get("/two")

    @task
    def pay(self):
        self.client.get("/three")


class Forum(TaskSet):
    @task
    def read(self):
        self.client.get("/read")

    @task
    def leave(self):
        self.interrupt()


class Buyer(FastHttpUser):
    wait_time = constant(0.02)
    tasks = [Purchase]


class Reader(FastHttpUser):
    wait_time = constant(0.02)
    tasks = {Forum: 1}


class Refused(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def refused(self):
        self.client.get("/503")


class Steps(LoadTestShape):
    def tick(self):
        if self.get_run_time() > 2:
            return None
        return (2, 100) if self.get_run_time() < 1 else (5, 100)
