"""Mutation testing: weaken a workload one thing at a time, and see which loss an experiment notices."""
