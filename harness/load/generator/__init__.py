"""The load process. Everything that imports locust or gevent stands in this package, and only that process imports it.

Importing locust patches the whole process (sockets, threads, time), so the harness itself must never do it; see
``harness.load.driver`` for how the two talk.
"""
