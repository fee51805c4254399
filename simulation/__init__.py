"""Answers like customers would, and knows the truth."""

from simulation.history import FEATURES, Day
from simulation.scenarios import SCENARIOS, demo_catalogue, demo_rules, scenario
from simulation.world import World

__all__ = ["FEATURES", "SCENARIOS", "Day", "World", "demo_catalogue", "demo_rules", "scenario"]
