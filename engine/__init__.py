"""Runs the daily jobs."""
