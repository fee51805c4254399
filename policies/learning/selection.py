"""Selection: fit recipes on early rows, value them on later ones, take the best pessimistic one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding.decision import final_distribution
from policies.errors import LearningError
from policies.evaluation.reward_model import fit_reward_model
from policies.evaluation.value import compare, evaluate
from policies.learning.vowpal import VowpalPolicy
from policies.logged import LoggedDecisions
from policies.policy import Policy

GRID: tuple[dict[str, Any], ...] = (
    {"cb_type": "mtr", "learning_rate": 0.1, "passes": 3},
    {"cb_type": "mtr", "learning_rate": 0.02, "passes": 3},
    {"cb_type": "mtr", "learning_rate": 0.005, "passes": 3},
    {"cb_type": "dr", "learning_rate": 0.02, "passes": 1},
)
"""Bold to cautious. Measured on simulated logs of 5 to 100 thousand rows: Vowpal Wabbit's default
learning rate .5 lost to each of these on all of them, and each of these was the best on one."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen policy, fitted, and what all recipes were worth.

    Args:
        best: the policy with the highest lower bound.
        table: one row a recipe (the index), best first: value, std_error and low (one-sided bound)
            as it would act, incumbent_value, and the paired difference, difference_std_error and
            difference_low against the incumbent; n, n_choice, effective_n.
        policies: every fitted recipe by name.
    """

    best: Policy
    table: pd.DataFrame
    policies: dict[str, Policy]


def default_grid(action_ids: Sequence[str], **settings: Any) -> list[VowpalPolicy]:
    """Unfitted recipes that differ in boldness; `settings` are VowpalPolicy's, and shared."""
    return [VowpalPolicy(action_ids, **{**each, **settings}) for each in GRID]


def recipe_name(policy: Policy) -> str:
    """The name that a policy's versions have in common: `mtr-lr0.1-p3-…`, `fixed:call`."""
    if isinstance(policy, VowpalPolicy):
        return policy.recipe
    action = policy.params.get("action")
    return policy.kind if action is None else f"{policy.kind}:{action}"


def select(
    log_fit: LoggedDecisions,
    log_select: LoggedDecisions,
    recipes: Sequence[Policy],
    incumbent: Policy,
    *,
    floor: float,
    uniform_share: float,
    confidence: float = 0.95,
) -> Selection:
    """Fit every recipe on one log and choose among them by another, which none of them saw.

    A recipe's value is the doubly robust estimate of the policy as it would act: after floor and
    uniform share. All share one reward model, fitted on `log_fit`. Chosen is the highest one-sided
    lower bound (pessimism: Swaminathan & Joachims 2015), so a policy whose value is uncertain,
    because the log rarely did what it does, must promise more.

    Args:
        log_fit: earlier decisions.
        log_select: later decisions, with contexts.
        recipes: policies; those with a `fit` method are fitted, as copies.
        incumbent: what they are compared with.
        floor, uniform_share: as in `final_distribution`.
        confidence: of the one-sided lower bounds, between .5 and 1.

    Raises:
        LearningError: no recipe, two of one name, an impossible confidence, or a fit that fails.
    """
    if not recipes:
        raise LearningError("there are no recipes to select from", hint="use default_grid(…)")
    if not 0.5 < confidence < 1:
        raise LearningError(f"confidence must lie between 0.5 and 1, and is {confidence:g}")
    names = [recipe_name(recipe) for recipe in recipes]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LearningError(f"the recipe {twice!r} is there twice", hint="leave one of them out")
    policies = {name: _fitted(recipe, log_fit) for name, recipe in zip(names, recipes)}
    contexts = log_select.contexts
    expected_reward = fit_reward_model(log_fit).predict(contexts, len(log_select))

    def acting(policy: Policy) -> npt.NDArray[np.float64]:
        return final_distribution(
            policy, contexts, log_select.eligible, floor=floor, uniform_share=uniform_share
        )

    as_incumbent = acting(incumbent)
    rows = [
        _row(log_select, acting(policy), as_incumbent, expected_reward, 2 * confidence - 1)
        for policy in policies.values()
    ]
    table = pd.DataFrame(rows, index=pd.Index(names, name="recipe"))
    table = table.sort_values("low", ascending=False, kind="stable")
    return Selection(policies[str(table.index[0])], table, policies)


def _fitted(recipe: Policy, log: LoggedDecisions) -> Policy:
    fit = getattr(copy.copy(recipe), "fit", None)
    return recipe if fit is None else fit(log)


def _row(
    log: LoggedDecisions,
    target: npt.NDArray[np.float64],
    incumbent: npt.NDArray[np.float64],
    expected_reward: npt.NDArray[np.float64],
    confidence: float,
) -> dict[str, float]:
    """One recipe's line of the table; `confidence` is that of the two-sided intervals."""
    valued: dict[Any, Any] = (
        evaluate(
            log,
            target,
            estimators=("dr",),
            expected_reward=expected_reward,
            interval="normal",
            confidence=confidence,
        )
        .loc["dr"]
        .to_dict()
    )
    paired = compare(
        log,
        target,
        incumbent,
        estimator="dr",
        expected_reward=expected_reward,
        interval="normal",
        confidence=confidence,
    )
    return {
        "value": valued["value"],
        "std_error": valued["std_error"],
        "low": valued["low"],
        "incumbent_value": valued["value"] - paired.difference,
        "difference": paired.difference,
        "difference_std_error": paired.std_error,
        "difference_low": paired.low,
        "n": valued["n"],
        "n_choice": valued["n_choice"],
        "effective_n": valued["effective_n"],
    }
