"""Run experiments: choose a cluster, check it, deploy, inject, observe, undo, record."""
