"""Simulates customers with known true effects, to test decisions and estimates against the truth."""

from simulation.days import FEATURES, Day
from simulation.scenarios import SCENARIOS, demo_catalogue, demo_rules, scenario
from simulation.world import World

__all__ = ["FEATURES", "SCENARIOS", "Day", "World", "demo_catalogue", "demo_rules", "scenario"]
