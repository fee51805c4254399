"""What a policy would have earned on a log, and what it would have earned more than another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError
from policies.estimating.arguments import number
from policies.estimating.estimators import Estimator, as_estimator, as_estimators
from policies.estimating.rows import EvaluationRows, evaluation_rows
from policies.estimating.summing import row_contributions
from policies.estimating.sums import Parts, Sums, WeightSums, effective_size
from policies.judging.question import BY_ROW, Bounds, Question, value_table
from policies.judging.rules import RuleInput, read_rules, verdict_of
from policies.judging.sensitivity import sensitivity_gamma
from policies.log import Bools, Floats, LoggedDecisions

DEFAULT = ("ips", "snips", "dm", "dr")


@dataclass(frozen=True)
class Comparison:
    """What a candidate earns more than an incumbent, per logged row, and what follows from it.

    Attributes:
        difference, low, high, std_error: in reward units per logged row, forced rows included.
        n, n_choice: logged rows, and those with at least two eligible actions.
        effective_n: Kish's number on |candidate − incumbent| / probability over choice rows.
        verdict: "promote" (low > −margin), "reject" (high < −margin), else "hold".
        estimator, interval, confidence, margin: the arguments of `compare`.
        range: what the interval's bounds rest on: "declared", "learned" where it was read from the
            log itself, "none" where the interval needs none.
        probabilities: "logged", or "estimated" where they were.
        unbiased: whether the estimator is; a verdict on one that is not is as good as its bias.
        unsupported: share of the difference on actions that the logger never draws there; what it
            may hide widens low and high.
        model_skill: of the reward model on these rows, see `WeightSums.model_skill`; None without one.
        robust_to: the factor by which every logged probability may be wrong and the verdict stand,
            see `sensitivity_gamma`, at most 100; None for "hold", and for biased estimators.
    """

    difference: float
    low: float
    high: float
    std_error: float
    n: int
    n_choice: int
    effective_n: float
    verdict: str
    estimator: str
    interval: str
    confidence: float
    margin: float
    range: str
    probabilities: str = "logged"
    unbiased: bool = True
    unsupported: float = 0.0
    model_skill: float | None = None
    robust_to: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """A flat dict of numbers and strings."""
        return asdict(self)


def evaluate(
    log: LoggedDecisions,
    target: Any,
    *,
    estimators: str | Estimator | Iterable[str | Estimator] | None = None,
    expected_reward: Any = None,
    interval: str = "normal",
    confidence: float = 0.95,
    floor: float | None = None,
    bounds: Bounds = (None, None),
    seed: int = 0,
) -> pd.DataFrame:
    """What the target would have earned per decision of this log, by several estimators.

    Args:
        log: n decisions.
        target: a policy, or an (n, k) array of its probabilities.
        estimators: names or instances. None: ips, snips, dm and dr, without those that cannot be
            had (dm and dr without expected_reward, snips and dm under an interval that needs
            unbiased contributions); named explicitly they raise.
        expected_reward: (n, k) predictions that never saw their row, as from `cross_fit`.
        interval: "normal" and "bootstrap" (by customer where ids are given), "bernstein" (fixed n,
            rows independent) or "sequence" (valid at every look; about the logged rows' running
            mean; ips and dr).
        confidence: two-sided, in (0, 1).
        floor: least probability that the logger gives an eligible action, for logs that do not know
            their distribution; without either, bernstein and sequence read it from the log.
        bounds: (low, high) of a sequence; both: see `day_sums`.
        seed: of the bootstrap.

    Returns:
        A frame indexed by estimator: value, std_error, low, high, n, n_choice, effective_n,
        max_weight, mean_weight (the last three over choice rows). In `.attrs`: "range" as in
        `Comparison`; "probabilities" is "estimated" where those were; "model_skill" says how good
        the reward model is, which is how good DM is; "unsupported" is the target's share on actions
        that the logger never draws there, and what they may earn, by the declared range or the one
        seen, widens all intervals; "auto" names what that estimator chose.

    Raises:
        EvaluationError: unknown names, a target that is no distribution, an estimator without what
            it needs, or an empty log.
    """
    question = Question(
        log, target, None, expected_reward, interval, confidence, floor, bounds, seed
    )
    chosen = as_estimators(DEFAULT if estimators is None else estimators)
    if estimators is None:
        modelled, any_kind = expected_reward is not None, interval not in BY_ROW
        chosen = [estimator for estimator in chosen if modelled or not estimator.needs_model]
        chosen = [estimator for estimator in chosen if any_kind or estimator.unbiased]
    return value_table(question, chosen).droplevel("segment")


def compare(
    log: LoggedDecisions,
    candidate: Any,
    incumbent: Any,
    *,
    estimator: str | Estimator = "dr",
    expected_reward: Any = None,
    interval: str = "sequence",
    confidence: float = 0.95,
    margin: float = 0.0,
    floor: float | None = None,
    bounds: Bounds = (None, None),
    seed: int = 0,
) -> Comparison:
    """What the candidate would have earned more than the incumbent, by paired contributions.

    Rows with one eligible action contribute exactly 0, and so do rows where both would do the same.

    Args:
        log: n decisions.
        candidate, incumbent: policies or (n, k) arrays, as they would act.
        estimator: a name or an instance.
        margin: how much worse the candidate may be and still be promoted, in reward units.
        expected_reward, interval, confidence, floor, bounds, seed: as in `evaluate`.

    Raises:
        EvaluationError: as `evaluate`; and a negative margin.
    """
    if not number("margin", margin) >= 0:
        raise EvaluationError(f"margin must not be negative, and is {margin}")
    question = Question(
        log, candidate, incumbent, expected_reward, interval, confidence, floor, bounds, seed
    )
    return _difference(question, as_estimator(estimator), margin)


def _difference(question: Question, named: Estimator, margin: float) -> Comparison:
    """`compare`, with its arguments checked."""
    log, q = question.log, question.expected_reward
    ours = evaluation_rows(log, question.target, q)
    theirs = evaluation_rows(log, question.incumbent, q)
    used, source = named.chosen(ours, theirs), named.interval_from(ours)
    spread = _paired(source, ours, theirs, log.choice)
    values = spread if used == source else _paired(used, ours, theirs, log.choice)
    sums = Sums.of(Parts(spread), question.customers)
    (low, high), range_ = question.around(source, sums, spread)
    unsupported = min(ours.unsupported_share + theirs.unsupported_share, 1.0)
    low, high = low - question.hidden(unsupported), high + question.hidden(unsupported)
    verdict = verdict_of(read_rules(RuleInput(low, high, -margin), ("better", "worse")))
    skill, robust_to = WeightSums.of(ours, log.choice).model_skill, None
    if verdict != "hold" and source.unbiased:
        direct = ours.model[0] - theirs.model[0] if source.needs_model else np.zeros(len(ours))
        sign, bound = (1.0, low) if verdict == "promote" else (-1.0, high)
        drawn = spread - direct
        robust_to = sensitivity_gamma(sign * direct, sign * drawn, sign * bound, -sign * margin)
    return Comparison(
        difference=float(values.mean()),
        low=low,
        high=high,
        std_error=sums.std_error,
        n=len(log),
        n_choice=int(log.choice.sum()),
        effective_n=effective_size(np.abs(ours.weight - theirs.weight)[log.choice]),
        verdict=verdict,
        estimator=named.name,
        interval=question.interval,
        confidence=question.confidence,
        margin=margin,
        range=range_,
        probabilities=log.probabilities,
        unbiased=used.unbiased,
        unsupported=unsupported,
        model_skill=None if math.isnan(skill) or not used.needs_model else skill,
        robust_to=robust_to,
    )


def _paired(
    estimator: Estimator, ours: EvaluationRows, theirs: EvaluationRows, choice: Bools
) -> Floats:
    """(n,) contributions to the difference; exactly 0 on forced rows."""
    if choice.all():
        return row_contributions(estimator, ours) - row_contributions(estimator, theirs)
    values = np.zeros(len(ours))  # a ratio, too, is one of choice rows only
    sides = (row_contributions(estimator, side[choice]) for side in (ours, theirs))
    values[choice] = np.subtract(*sides)
    return values
