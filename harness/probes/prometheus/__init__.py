"""Probes that ask Prometheus: queries, targets, health, readiness before a phase."""
