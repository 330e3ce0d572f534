"""A fault, a probe and an objective of another package. The entry points in ``pyproject.toml`` name the classes."""
