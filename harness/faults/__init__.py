"""The kinds of fault, one file each, found by their place."""
