"""The kinds of objective, one file each, found by their place."""
