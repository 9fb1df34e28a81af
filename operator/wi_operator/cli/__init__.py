"""kubectl wi."""
