"""Estimates of a policy's value from a log, each with its error."""
