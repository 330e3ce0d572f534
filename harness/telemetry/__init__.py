"""What other systems are sent about a run: metrics, traces and annotations, all from its record.

Everything is sent after the run, within a time limit, and no failure changes a verdict.
"""
