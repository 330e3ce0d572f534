"""Advice: the likely causes of a missed objective, each with its evidence and the change that removes it."""
