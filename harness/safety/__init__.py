"""The safety net: guard, undo journal, leases, halt file, clean-up."""
