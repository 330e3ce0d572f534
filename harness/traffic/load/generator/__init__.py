"""The load process. All code that imports locust or gevent is in this package, and only the load process imports it.

Importing locust patches the whole process (sockets, threads, time), so the harness itself must never do it; see
``harness.traffic.load.driver`` for how the two communicate.
"""
