"""Values that everything else shares: timeline, findings, verdicts, quantities. No input or output."""
