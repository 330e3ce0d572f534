"""Faults below Kubernetes: control of a node's machine, and the traces they leave."""
