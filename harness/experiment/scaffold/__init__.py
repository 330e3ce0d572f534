"""Writes a first experiment for a workload: what it reads from the manifests, what each fault needs, and the text."""
