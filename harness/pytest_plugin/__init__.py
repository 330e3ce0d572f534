"""The pytest plugin: options, collection, items, fixtures, terminal output."""
