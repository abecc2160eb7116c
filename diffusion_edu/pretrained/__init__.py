"""Published weights (see load)."""
