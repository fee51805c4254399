"""A Declarative Automation Bundle as the databricks command reads it: resolved, typed, checked."""
