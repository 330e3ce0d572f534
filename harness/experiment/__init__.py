"""Experiments as declared: files, manifests, validation, the registry of kinds."""
