"""Statistics: confidence bounds, distributions, sequential tests. Pure functions."""
