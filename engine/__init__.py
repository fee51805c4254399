"""Runs the day."""
