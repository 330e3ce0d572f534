"""Prometheus as a source: discovery, access, queries, and PromQL read from its syntax tree."""
