"""Checks before anything is touched: permissions, requirements, admission."""
