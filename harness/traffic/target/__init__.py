"""Where load and probes go: the declared target, and the endpoint that a generator dials for it.

``declaration`` has the fields of an experiment. ``endpoint`` has what a process that sends traffic needs, and only
plain data, so that it fits in the settings file of any process.
"""
