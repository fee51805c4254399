"""Features: what was known about a customer at a moment, as columns."""
