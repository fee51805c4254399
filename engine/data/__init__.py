"""The Delta tables, the sources of their rows, and the rewards."""
