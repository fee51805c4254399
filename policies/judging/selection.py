"""Selection: fit recipes on early rows, value them on later ones, choose by lower bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from policies.deciding.deployed import AsDeployed, Exploration
from policies.errors import LearningError
from policies.estimating.reward_model import fit_reward_model
from policies.judging.values import compare, evaluate
from policies.learning.averaged import Averaged, fit_copies
from policies.learning.best_average import BestAverage
from policies.learning.reading import joined
from policies.learning.vowpal.policy import VowpalPolicy
from policies.learning.vowpal.settings import GRID
from policies.log import Floats, LoggedDecisions, Logs
from policies.policy import Policy

MODEL_ROWS = 200_000  # that the reward model is fitted on, at most


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen policy, fitted on the earlier rows, and what all recipes were worth.

    Args:
        best: the chosen policy; `best.fit(log)` fits it anew on more rows.
        acceptable: whether its estimate is not below the incumbent's by more than the margin. An
            unacceptable policy should not be tried; an acceptable one still has to pass the gate.
        table: one row a recipe (the index), the chosen one first, then by bound: chosen, value,
            std_error and low (one-sided bound) as it would act, incumbent_value, and the paired
            difference, difference_std_error and difference_low against the incumbent; n, n_choice,
            effective_n.
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
    learners = [VowpalPolicy(action_ids, **{**settings, **own}) for own in grid]
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
) -> Selection:
    """Fit every recipe on one log and choose among them by another, which none of them saw.

    A recipe's value is the doubly robust estimate of the policy as deployed. All share one reward
    model, fitted on `log_fit` (on an evenly thinned part of it, where that is large). Best is the highest one-sided lower bound (pessimism: Swaminathan &
    Joachims 2015), so a policy whose value is uncertain, because the log rarely did what it does,
    needs a higher estimate. The highest of several noisy bounds is partly luck. Therefore recipes
    within one standard error (of the paired difference) of the best are averaged. The average wins
    unless it is worse than the best by more than that.

    Args:
        log_fit: earlier decisions, or their parts in order.
        log_select: later decisions, with contexts.
        recipes: policies, which are fitted several at a time.
        incumbent: what they are compared with.
        exploration: what deployment adds to every policy.
        margin: how much worse than the incumbent the best may be and still be acceptable.
        confidence: of the one-sided lower bounds, between .5 and 1.

    Raises:
        LearningError: no recipe, two of one name, an impossible confidence, a later log without
            contexts, no incumbent, or a fit that fails.
    """
    _check(log_select, recipes, incumbent, confidence)
    reward_model = fit_reward_model(joined(log_fit, MODEL_ROWS))
    if log_select.contexts is None and reward_model.encoder is not None:
        what = "the earlier log has contexts, and the later one has none"
        raise LearningError(what, hint="give it the same")
    expected_reward = reward_model.predict(log_select.contexts, len(log_select))

    def acting(policy: Policy) -> Floats:
        deployed = AsDeployed(policy, exploration)
        return deployed.distribution(log_select.contexts, log_select.eligible)

    level = 2 * confidence - 1  # of the two-sided intervals that have these one-sided bounds
    how = {"expected_reward": expected_reward, "interval": "normal", "confidence": level}
    values = _Values(log_select, acting, acting(incumbent), how)
    for policy in fit_copies(recipes, log_fit):
        values.add(policy)
    best = max(values.rows, key=lambda name: values.rows[name]["low"])
    mean = _average(values, best)
    if mean is not None:
        values.add(mean)
        if not values.is_worse(mean.name, best):
            best = mean.name
    table = pd.DataFrame.from_dict(values.rows, orient="index").rename_axis("recipe")
    table.insert(0, "chosen", table.index == best)
    table = table.sort_values(["chosen", "low"], ascending=False, kind="stable")
    acceptable = values.rows[best]["difference"] >= -margin
    return Selection(values.policies[best], acceptable, table, values.policies)


def _check(
    log: LoggedDecisions, recipes: Sequence[Policy], incumbent: Policy, confidence: float
) -> None:
    """Raise LearningError for arguments that allow no selection."""
    if not recipes:
        raise LearningError("there are no recipes to select from", hint="use default_grid(…)")
    if not 0.5 < confidence < 1:
        raise LearningError(f"confidence must lie between 0.5 and 1, and is {confidence:g}")
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LearningError(f"the recipe {twice!r} is there twice", hint="leave one of them out")
    if not isinstance(log, LoggedDecisions):
        what = f"recipes are valued on LoggedDecisions, not on a {type(log).__name__}"
        raise LearningError(what, hint="joined(parts) makes one log of parts")
    if not isinstance(incumbent, Policy):
        what = f"the incumbent is a {type(incumbent).__name__}, and must be a policy"
        raise LearningError(what, hint="UniformPolicy(log.action_ids) is one")


@dataclass(frozen=True, eq=False)
class _Values:
    """Policies, what they would do on each row of one log, and their lines of the table.

    `how` has the arguments that every estimate shares.
    """

    log: LoggedDecisions
    acting: Callable[[Policy], Floats]
    incumbent: Floats
    how: Mapping[str, Any]
    policies: dict[str, Policy] = field(default_factory=dict)
    acts: dict[str, Floats] = field(default_factory=dict)
    rows: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, policy: Policy) -> None:
        """Value a policy as it would act, alone and against the incumbent."""
        acts = self.acting(policy)
        alone: Any = evaluate(self.log, acts, estimators="dr", **self.how).loc["dr"]
        paired = compare(self.log, acts, self.incumbent, **self.how)
        self.policies[policy.name], self.acts[policy.name] = policy, acts
        self.rows[policy.name] = {
            **alone[["value", "std_error", "low"]],
            "incumbent_value": alone["value"] - paired.difference,
            "difference": paired.difference,
            "difference_std_error": paired.std_error,
            "difference_low": paired.low,
            **alone[["n", "n_choice", "effective_n"]],
        }

    def is_worse(self, name: str, best: str) -> bool:
        """Whether it is below the best by more than one standard error of their difference."""
        paired = compare(self.log, self.acts[name], self.acts[best], **self.how)
        return paired.difference < -paired.std_error


def _average(values: _Values, best: str) -> Averaged | None:
    """The mean of the best and of those not worse; None where fewer than two have rewards."""
    if values.log.contexts is None:
        return None
    few = values.log.contexts.iloc[:1]
    near = [
        policy
        for name, policy in values.policies.items()
        if policy.expected_reward(few) is not None
        and (name == best or not values.is_worse(name, best))
    ]
    exploration = values.policies[best].params.get("exploration", "greedy")
    return Averaged(near, exploration) if len(near) > 1 else None
