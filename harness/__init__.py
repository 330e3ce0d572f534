"""Experiments that break a live Kubernetes cluster and judge the outage against SLOs."""

__version__ = "0.1.0"
