"""Models: registered versions, baselines, and which is in force on a day."""
