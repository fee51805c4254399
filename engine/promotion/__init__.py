"""From a verdict to an alias."""
