"""What a log can say about a target at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError
from policies.evaluation.batch import as_target, batch_of, effective_size
from policies.evaluation.estimators import IPS
from policies.evaluation.intervals import standard_error
from policies.logged import Array, Floats, LoggedDecisions

Z_BROKEN = 4.5  # standard errors; about one false alarm in 150,000 tests of a normal mean
MIN_HITS = 30  # rows a weight test needs before its error can be trusted
MIN_EFFECTIVE_N = 100.0
POWER = 7.85  # (1.96 + 0.84)²: 80 % power at two-sided 5 %


@dataclass(frozen=True)
class Evidence:
    """Whether a log can judge a target.

    Attributes:
        verdict: "decide"; "collect" when more rows, or more exploration, are needed; "broken" when
            the log contradicts itself and no estimate from it can be trusted.
        reasons: one sentence each.
        effective_n: Kish's effective number of choice rows.
        rows_needed: choice rows that show minimum_effect with 80 % power; None when not asked.
    """

    verdict: str
    reasons: list[str]
    effective_n: float
    rows_needed: float | None = None


def assess(
    log: LoggedDecisions,
    target: Any,
    *,
    minimum_effect: float | None = None,
    min_effective_n: float = MIN_EFFECTIVE_N,
) -> Evidence:
    """Whether the log can answer what the target is worth.

    Broken: importance weights whose mean is not 1, for the target or for any single action, by
    more than 4.5 standard errors; or two decisions for one customer on one date. Collect: too
    small an effective n, a target that acts where the logger never draws, or fewer choice rows than
    7.85·σ²/minimum_effect² (σ² is the variance of the IPS contributions of choice rows).

    Args:
        target: a policy or an (n, k) array.
        minimum_effect: smallest difference per choice row that matters, in reward units.
        min_effective_n: effective n below which nothing is decided.
    """
    if minimum_effect is not None and not minimum_effect > 0:
        raise EvaluationError(f"minimum_effect must be positive, not {minimum_effect}")
    batch, choice = batch_of(log, target), log.choice
    weight = batch.weight[choice]
    effective_n, n_choice = effective_size(weight), int(choice.sum())
    broken = _weights_off(log, batch.weight, choice) + _duplicates(log)
    few = []
    if effective_n < min_effective_n:
        few.append(
            f"the {n_choice} choice rows say as much about the target as {effective_n:.0f} drawn by"
            f" it; {min_effective_n:.0f} are needed"
        )
    if log.distribution is not None:
        outside = float(np.where(log.distribution > 0, 0.0, as_target(log, target))[choice].sum())
        if outside > 0:
            few.append(
                f"in {outside / n_choice:.1%} of choices the target takes an action that the logger"
                " never draws there: no number of such rows helps, exploration does"
            )
    needed = None
    if minimum_effect is not None and n_choice > 1:
        variance = float(IPS().contributions(batch)[choice].var(ddof=1))
        needed = math.ceil(POWER * variance / minimum_effect**2)
        if needed > n_choice:
            few.append(
                f"an effect of {minimum_effect:g} needs about {needed:,} choice rows;"
                f" there are {n_choice:,}"
            )
    verdict = "broken" if broken else "collect" if few else "decide"
    return Evidence(verdict, broken + few, effective_n, needed)


def _weights_off(log: LoggedDecisions, weight: Floats, choice: Array) -> list[str]:
    """Sentences on weights whose mean should be 1 and is not: the target's, and each action's."""
    tests = {}
    if log.distribution is None:  # where it is known, its actions' weights say all there is to say
        tests["the target's weights"] = weight[choice]
    for index, name in enumerate(log.action_ids):
        drawn = choice & log.eligible[:, index]
        if log.distribution is not None:
            drawn &= log.distribution[:, index] > 0
        hit = np.where(log.action == index, 1 / log.action_probability, 0.0)
        tests[f"the weights of {name!r}"] = hit[drawn]
    return [
        f"{what} average {values.mean():.3f} instead of 1: the logged probabilities are not those"
        " the actions were drawn with"
        for what, values in tests.items()
        if _off(values)
    ]


def _off(weight: Floats) -> bool:
    """Whether weights with mean 1 under an honest log average something else."""
    if np.count_nonzero(weight) < MIN_HITS:
        return False
    rare = Z_BROKEN**2 / 2 * float(weight.max()) / len(weight)  # of what no row has shown yet
    return abs(float(weight.mean()) - 1) > Z_BROKEN * standard_error(weight) + rare


def _duplicates(log: LoggedDecisions) -> list[str]:
    """A sentence on customers decided for twice on one date, if there are any."""
    if log.customer_id is None or log.decision_date is None:
        return []
    keys = pd.DataFrame({"customer": log.customer_id, "date": log.decision_date})
    twice = int(keys.duplicated().sum())
    return [f"{twice} rows repeat a customer on the same date"] if twice else []
