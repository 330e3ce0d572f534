"""Applies patches as Kubernetes does: pure functions of an object and a patch, for twins and the fake cluster."""
