"""Databricks on a laptop: the bundle and its jobs, the notebooks, the Spark session, validation."""
