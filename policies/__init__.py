"""Contextual-bandit policies: make decisions, and estimate a policy's value from logs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policies.catalogue import Action, Catalogue
    from policies.deciding.decision import final_distribution
    from policies.deciding.deployed import AsDeployed, Exploration
    from policies.estimating.auto import Auto
    from policies.estimating.estimators import (
        DM,
        DR,
        IPS,
        IX,
        LS,
        SNDR,
        SNIPS,
        ClippedIPS,
        DRos,
        Estimator,
        Replay,
        SubGaussianDR,
        SubGaussianIPS,
        SwitchDR,
    )
    from policies.estimating.probabilities import estimate_probabilities
    from policies.estimating.reward_model import cross_fit
    from policies.judging.assessment import Assessment, assess
    from policies.judging.gate import Gate, Verdict
    from policies.judging.selection import Selection, default_grid, select
    from policies.judging.values import Comparison, compare, evaluate, evaluate_by
    from policies.learning.averaged import Averaged
    from policies.learning.baselines import BusinessRules, FixedAction, UniformPolicy
    from policies.learning.best_average import BestAverage
    from policies.learning.vowpal.policy import VowpalPolicy
    from policies.log import LoggedDecisions
    from policies.policy import Policy, load_policy

_MODULES = {  # imported when a name is first used: a command's help needs no pandas
    "catalogue": "Action Catalogue",
    "deciding.decision": "final_distribution",
    "deciding.deployed": "AsDeployed Exploration",
    "estimating.auto": "Auto",
    "estimating.estimators": "DM DR IPS IX LS SNDR SNIPS ClippedIPS DRos Estimator Replay SubGaussianDR SubGaussianIPS SwitchDR",
    "estimating.probabilities": "estimate_probabilities",
    "estimating.reward_model": "cross_fit",
    "judging.assessment": "Assessment assess",
    "judging.gate": "Gate Verdict",
    "judging.selection": "Selection default_grid select",
    "judging.values": "Comparison compare evaluate evaluate_by",
    "learning.averaged": "Averaged",
    "learning.baselines": "BusinessRules FixedAction UniformPolicy",
    "learning.best_average": "BestAverage",
    "learning.vowpal.policy": "VowpalPolicy",
    "log": "LoggedDecisions",
    "policy": "Policy load_policy",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = ["Action", "Catalogue", "LoggedDecisions", "estimate_probabilities"]
__all__ += ["AsDeployed", "Averaged", "BestAverage", "BusinessRules", "Exploration", "FixedAction"]
__all__ += ["Policy", "UniformPolicy", "VowpalPolicy", "final_distribution", "load_policy"]
__all__ += ["DM", "DR", "IPS", "IX", "LS", "SNDR", "SNIPS", "Auto", "ClippedIPS", "DRos"]
__all__ += ["Estimator", "Replay", "SubGaussianDR", "SubGaussianIPS", "SwitchDR", "cross_fit"]
__all__ += ["Assessment", "Comparison", "Gate", "Selection", "Verdict", "assess", "compare"]
__all__ += ["default_grid", "evaluate", "evaluate_by", "select"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"policies.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
