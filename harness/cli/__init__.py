"""The command line interface: ``harness`` and ``python -m harness.cli``."""
