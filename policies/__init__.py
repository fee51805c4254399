"""Decides, and says what deciding so is worth."""

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
from policies.judging.segments import evaluate_by
from policies.judging.selection import Selection, default_grid, select
from policies.judging.values import Comparison, compare, evaluate
from policies.learning.averaged import Averaged
from policies.learning.baselines import (
    BestAverage,
    BusinessRules,
    FixedAction,
    UniformPolicy,
)
from policies.learning.vowpal.policy import VowpalPolicy
from policies.log import LoggedDecisions
from policies.policy import Policy, load_policy

__all__ = [
    "DM",
    "DR",
    "IPS",
    "IX",
    "LS",
    "SNDR",
    "SNIPS",
    "Action",
    "AsDeployed",
    "Assessment",
    "Auto",
    "Averaged",
    "BestAverage",
    "BusinessRules",
    "Catalogue",
    "ClippedIPS",
    "Comparison",
    "DRos",
    "Estimator",
    "Exploration",
    "FixedAction",
    "Gate",
    "LoggedDecisions",
    "Policy",
    "Replay",
    "Selection",
    "SubGaussianDR",
    "SubGaussianIPS",
    "SwitchDR",
    "UniformPolicy",
    "Verdict",
    "VowpalPolicy",
    "assess",
    "compare",
    "cross_fit",
    "default_grid",
    "estimate_probabilities",
    "evaluate",
    "evaluate_by",
    "final_distribution",
    "load_policy",
    "select",
]
