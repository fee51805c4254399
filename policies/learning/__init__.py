"""Policies: the ones that are written down, and the ones that are learned."""
