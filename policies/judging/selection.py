"""Selection: fit recipes on early rows, value them on later ones, take the best pessimistic one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding.deployed import AsDeployed, Exploration
from policies.errors import LearningError
from policies.estimating.reward_model import fit_reward_model
from policies.judging.values import compare, evaluate
from policies.learning.averaged import Averaged, fit_copies
from policies.learning.baselines import BestAverage
from policies.learning.reading import Logs, joined
from policies.learning.vowpal.policy import VowpalPolicy
from policies.log import LoggedDecisions
from policies.policy import Policy

GRID: tuple[dict[str, Any], ...] = tuple(
    {"standardise": True, **each}
    for each in (
        {"cb_type": "mtr", "learning_rate": 0.5, "passes": 3, "bins": 8},
        {"cb_type": "mtr", "learning_rate": 0.1, "passes": 3, "bins": 8},
        {"cb_type": "mtr", "learning_rate": 0.1, "passes": 3},
        {"cb_type": "mtr", "learning_rate": 0.02, "passes": 3},
        {"cb_type": "mtr", "learning_rate": 0.005, "passes": 3},
        {"cb_type": "dr", "learning_rate": 0.02, "passes": 1},
    )
)
"""Bold to cautious. Where an action's reward is nearly certain (classes as actions) the bold ones
with bins win by far; on logs of rare rewards each of the cautious ones was the best on some. See
`benchmarks/selection.py`."""

MODEL_ROWS = 200_000  # that the reward model is fitted on, at most


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen policy, fitted on the earlier rows, and what all recipes were worth.

    Args:
        best: the chosen policy; `best.fit(log)` fits it anew on more rows.
        acceptable: whether its estimate is not below the incumbent's by more than the margin. What
            is not should not be tried; what is has not proved anything yet: that is the gate's to ask.
        table: one row a recipe (the index), the chosen one first, then by bound: chosen, value, std_error and low (one-sided bound)
            as it would act, incumbent_value, and the paired difference, difference_std_error and
            difference_low against the incumbent; n, n_choice, effective_n.
        policies: every fitted recipe by name.
    """

    best: Policy
    acceptable: bool
    table: pd.DataFrame
    policies: dict[str, Policy]


def default_grid(
    action_ids: Sequence[str],
    *,
    grid: Sequence[Mapping[str, Any]] = GRID,
    **settings: Any,
) -> list[Policy]:
    """Unfitted recipes: the best average action, and Vowpal Wabbit's learners.

    Args:
        action_ids: k ids.
        grid: settings of VowpalPolicy, one mapping a learner; the default goes from bold to
            cautious.
        settings: of VowpalPolicy, shared by all learners that do not say otherwise.
    """
    learners = [VowpalPolicy(action_ids, **{**settings, **each}) for each in grid]
    return [BestAverage(action_ids), *learners]


def select(
    log_fit: Logs,
    log_select: LoggedDecisions,
    recipes: Sequence[Policy],
    incumbent: Policy,
    *,
    exploration: Exploration,
    margin: float = 0.0,
    confidence: float = 0.95,
    workers: int | None = None,
) -> Selection:
    """Fit every recipe on one log and choose among them by another, which none of them saw.

    A recipe's value is the doubly robust estimate of the policy as deployed. All share one reward model, fitted on `log_fit` (on an evenly thinned part of it,
    where that is large). Best is the highest one-sided lower bound (pessimism: Swaminathan &
    Joachims 2015), so a policy whose value is uncertain, because the log rarely did what it does,
    must promise more. The highest of several noisy bounds is partly luck, though; so where other
    recipes are within one standard error of the best (of their paired difference), all of these are
    averaged, and the average is chosen unless it is itself worse by more than that.

    Args:
        log_fit: earlier decisions, or their parts in order.
        log_select: later decisions, with contexts.
        recipes: policies; those with a `fit` method are fitted, as copies, several at a time.
        incumbent: what they are compared with.
        exploration: what deployment adds to every policy.
        margin: how much worse than the incumbent the best may be and still be acceptable.
        confidence: of the one-sided lower bounds, between .5 and 1.
        workers: how many fits at a time; None = as many as there are cores.

    Raises:
        LearningError: no recipe, two of one name, an impossible confidence, a later log without
            contexts, no incumbent, or a fit that fails.
    """
    if not recipes:
        raise LearningError("there are no recipes to select from", hint="use default_grid(…)")
    if not 0.5 < confidence < 1:
        raise LearningError(f"confidence must lie between 0.5 and 1, and is {confidence:g}")
    names = [recipe.recipe for recipe in recipes]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LearningError(f"the recipe {twice!r} is there twice", hint="leave one of them out")
    if not isinstance(log_select, LoggedDecisions):
        raise LearningError(
            f"recipes are valued on LoggedDecisions, not on a {type(log_select).__name__}",
            hint="joined(parts) makes one log of parts",
        )
    if not isinstance(incumbent, Policy):
        raise LearningError(
            f"the incumbent is a {type(incumbent).__name__}, and must be a policy",
            hint="UniformPolicy(log.action_ids) is one",
        )
    policies = dict(zip(names, fit_copies(recipes, log_fit, workers=workers)))
    contexts = log_select.contexts
    reward_model = fit_reward_model(joined(log_fit, MODEL_ROWS))
    if contexts is None and reward_model.encoder is not None:
        raise LearningError(
            "the earlier log has contexts, and the later one has none", hint="give it the same"
        )
    expected_reward = reward_model.predict(contexts, len(log_select))

    def acting(policy: Policy) -> npt.NDArray[np.float64]:
        return AsDeployed(policy, exploration).distribution(contexts, log_select.eligible)

    level = 2 * confidence - 1  # of two-sided intervals with these one-sided bounds
    incumbent_acts = acting(incumbent)
    acts = {name: acting(policy) for name, policy in policies.items()}
    rows = {
        name: _row(log_select, each, incumbent_acts, expected_reward, level)
        for name, each in acts.items()
    }
    best = max(rows, key=lambda name: rows[name]["low"])

    def told_apart(act: npt.NDArray[np.float64]) -> bool:
        paired = compare(
            log_select, act, acts[best], expected_reward=expected_reward, interval="normal"
        )
        return paired.difference < -paired.std_error

    near = [policies[name] for name, act in acts.items() if name == best or not told_apart(act)]
    few = None if contexts is None else contexts.iloc[:1]
    near = [each for each in near if few is not None and each.expected_reward(few) is not None]
    if len(near) > 1:
        mean = Averaged(near, exploration=policies[best].params.get("exploration", "greedy"))
        act = acting(mean)
        policies[mean.recipe] = mean
        rows[mean.recipe] = _row(log_select, act, incumbent_acts, expected_reward, level)
        if not told_apart(act):
            best = mean.recipe
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("recipe")
    table.insert(0, "chosen", table.index == best)
    table = table.sort_values(["chosen", "low"], ascending=False, kind="stable")
    acceptable = rows[best]["difference"] >= -margin
    return Selection(policies[best], acceptable, table, policies)


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
