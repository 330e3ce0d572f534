"""Locust as it comes, for comparison: its own users, its own waiting, its own statistics."""
