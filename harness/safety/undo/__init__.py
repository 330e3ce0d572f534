"""The undo journal: how each effect of a run is reverted."""
