"""Databricks on a laptop: the bundle read, its jobs run, its notebooks executed."""
