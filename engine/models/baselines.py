"""The policies that need no learning, by name: what a candidate must beat until there is a champion."""

from __future__ import annotations

from engine.config import Config, check_baseline
from policies import FixedAction, Policy, UniformPolicy
from policies.learning.baselines import BusinessRules

PREFIX = "baseline:"


def baseline(name: str, config: Config) -> Policy:
    """`baseline:uniform`, `baseline:business_rules` or `baseline:fixed:ACTION`.

    Raises:
        ConfigError: there is no baseline of that name.
    """
    check_baseline(name, config, "the name of a baseline")
    ids, kind = config.catalogue.action_ids, name[len(PREFIX) :]
    if kind == "uniform":
        return UniformPolicy(ids)
    if kind == "business_rules":
        return BusinessRules(ids, config.rules, fallback=config.catalogue.no_contact)
    action = kind[len("fixed:") :]
    return FixedAction(ids, action, fallback=config.catalogue.no_contact)
