"""The policies that need no learning: a candidate's incumbent until there is a champion."""

from __future__ import annotations

from engine.config import Config, check_baseline
from engine.refs import PolicyRef
from policies import FixedAction, Policy, UniformPolicy
from policies.learning.baselines import BusinessRules


def baseline(ref: PolicyRef, config: Config) -> Policy:
    """The policy of a baseline: `uniform`, `business_rules` or `fixed:ACTION`.

    Raises:
        ConfigError: there is no baseline of that name.
    """
    check_baseline(str(ref), config, "the name of a baseline")
    ids, no_contact = config.catalogue.action_ids, config.catalogue.no_contact
    if ref.name == "uniform":
        return UniformPolicy(ids)
    if ref.name == "business_rules":
        return BusinessRules(ids, config.rules, fallback=no_contact)
    return FixedAction(ids, ref.name.removeprefix("fixed:"), fallback=no_contact)
