"""How quick, small and exact the harness is, measured beside what others do: ``scripts/bench NAME``."""
