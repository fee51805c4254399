"""Decides, and says what deciding so is worth."""

from policies.actions import Action, Catalogue
from policies.deciding.decision import final_distribution
from policies.evaluation.choice import Auto
from policies.evaluation.estimators import (
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
from policies.evaluation.evidence import Evidence, assess
from policies.evaluation.gate import Gate, Verdict
from policies.evaluation.probabilities import estimate_probabilities
from policies.evaluation.reward_model import cross_fit
from policies.evaluation.segments import evaluate_by
from policies.evaluation.value import Comparison, compare, evaluate
from policies.learning.averaged import Averaged
from policies.learning.baselines import (
    AsDeployed,
    BestAverage,
    BusinessRules,
    FixedAction,
    UniformPolicy,
)
from policies.learning.selection import Selection, default_grid, select
from policies.learning.vowpal import VowpalPolicy
from policies.logged import LoggedDecisions
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
    "Auto",
    "Averaged",
    "BestAverage",
    "BusinessRules",
    "Catalogue",
    "ClippedIPS",
    "Comparison",
    "DRos",
    "Estimator",
    "Evidence",
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
