"""Workloads that run in a namespace of the cluster: read when a run is connected, used in place or copied."""
