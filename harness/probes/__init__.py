"""What is observed during a run: watch probes and snapshot probes, one file each, found by their place."""
