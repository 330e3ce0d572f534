"""The prober: open-loop probes of the users' way in, independent of the load generator.

A process of its own (``python -m harness.prober``) with asyncio and no gevent, small enough to stand beside every
experiment: ``declaration`` is what experiments write, ``driver`` runs the process, ``process`` is the process, and one
module for each protocol says what one probe does.
"""
