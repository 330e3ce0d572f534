"""Clean up after runs that died: dead-man switch, sweep, janitor, leftovers."""
