"""Checks of a bundle's meaning, beyond its schema: a table of named rules."""
