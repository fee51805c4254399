"""Models: registered versions, aliases, lineages, baselines, and which is in force on a day."""
