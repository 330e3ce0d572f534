"""The prober: open-loop probes of a Service as its users reach it, independent of the load generator.

A separate process (``python -m harness.traffic.prober``) with asyncio and without gevent, small enough to run during
every experiment. ``declaration`` has the fields of an experiment, ``driver`` controls the process, ``process`` is the
process itself, and one module per protocol implements its probe.
"""
