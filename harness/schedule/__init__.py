"""Scheduled runs: a CronJob in the cluster that runs experiments or game days and keeps their reports."""
