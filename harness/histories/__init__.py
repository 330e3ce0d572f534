"""Checkers of histories: pure functions from the operations of clients to the anomalies in them."""
