"""Confidence sequences: bounds that are valid at every look."""
