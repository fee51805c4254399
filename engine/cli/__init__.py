"""The commands: `dbb` for bundles and jobs, `nba` for models and decisions."""
