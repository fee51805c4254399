"""What a policy would have earned on a log, and what it would have earned more than another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError, did_you_mean
from policies.evaluation import intervals
from policies.evaluation.bounds import Terms
from policies.evaluation.estimators import (
    Batch,
    Estimator,
    as_estimator,
    as_estimators,
    batch_of,
    effective_size,
)
from policies.evaluation.evidence import day_sums, sequence_interval
from policies.logged import Floats, LoggedDecisions

INTERVALS = ("normal", "bootstrap", "bernstein", "sequence")
DEFAULT: tuple[str, ...] = ("ips", "snips", "dm", "dr")
Bounds = tuple["float | None", "float | None"]


@dataclass(frozen=True)
class Comparison:
    """What a candidate earns more than an incumbent, per logged row, and what follows from it.

    Attributes:
        difference, low, high, std_error: in reward units per logged row, forced rows included.
        n, n_choice: logged rows, and those with at least two eligible actions.
        effective_n: Kish's number on |candidate − incumbent| / probability over choice rows.
        verdict: "promote" (low > −margin), "reject" (high < −margin), else "hold".
        estimator, interval, confidence, margin: as asked for.
        range: "declared", or "learned" where an interval's bounds were read from the log itself.
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

    def to_dict(self) -> dict[str, Any]:
        """A flat dict of numbers and strings."""
        return asdict(self)


def evaluate(
    log: LoggedDecisions,
    target: Any,
    *,
    estimators: str | Estimator | Iterable[str | Estimator] = DEFAULT,
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
        estimators: names or instances. Of the default four, those that cannot be had are left out
            (dm and dr without expected_reward, snips and dm under an interval that needs unbiased
            contributions); named explicitly they raise.
        expected_reward: (n, k) predictions that never saw their row, as from `cross_fit`.
        interval: "normal" and "bootstrap" (by customer where ids are given), "bernstein" (fixed n,
            rows independent), or "sequence" (valid at every look; about the logged rows' running
            mean; ips and dr).
        confidence: two-sided, in (0, 1).
        floor, bounds: of a bernstein or sequence interval; see `evidence.day_sums`.
        seed: of the bootstrap.

    Returns:
        A frame indexed by estimator: value, std_error, low, high, n, n_choice, effective_n,
        max_weight, mean_weight (the last three over choice rows). `.attrs["range"]` is "learned"
        where an interval's bounds had to be read from the log.

    Raises:
        EvaluationError: unknown names, a target that is no distribution, an estimator without what
            it needs, or an empty log.
    """
    asked = _Asked(interval, confidence, floor, bounds, seed).checked(log)
    batch = batch_of(log, target, expected_reward)
    chosen = as_estimators(estimators)
    if estimators is DEFAULT:
        chosen = [each for each in chosen if _obtainable(each, batch, interval)]
    rows, kinds = {}, set()
    for each in chosen:
        values = each.contributions(batch)
        low, high, kind = asked.around(values, each, log, batch.target, None, expected_reward)
        rows[each.name] = {
            "value": float(values.mean()),
            "std_error": intervals.standard_error(values, log.customer_id),
            "low": low,
            "high": high,
            **_diagnostics(log, batch.weight),
        }
        kinds.add(kind)
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index.name = "estimator"
    frame.attrs["range"] = "learned" if "learned" in kinds else "declared"
    return frame


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
    if not margin >= 0:
        raise EvaluationError(f"margin must not be negative, and is {margin}")
    asked = _Asked(interval, confidence, floor, bounds, seed).checked(log)
    each = as_estimator(estimator)
    ours = batch_of(log, candidate, expected_reward)
    theirs = batch_of(log, incumbent, expected_reward)
    values = each.contributions(ours) - each.contributions(theirs)
    values = np.where(log.choice, values, 0.0)
    low, high, kind = asked.around(values, each, log, ours.target, theirs.target, expected_reward)
    verdict = "promote" if low > -margin else "reject" if high < -margin else "hold"
    return Comparison(
        difference=float(values.mean()),
        low=low,
        high=high,
        std_error=intervals.standard_error(values, log.customer_id),
        n=len(log),
        n_choice=int(log.choice.sum()),
        effective_n=effective_size(np.abs(ours.weight - theirs.weight)[log.choice]),
        verdict=verdict,
        estimator=each.name,
        interval=interval,
        confidence=confidence,
        margin=margin,
        range=kind,
    )


@dataclass(frozen=True)
class _Asked:
    """Which interval is asked for, and with which settings."""

    interval: str
    confidence: float
    floor: float | None
    bounds: Bounds
    seed: int

    def checked(self, log: LoggedDecisions) -> _Asked:
        if self.interval not in INTERVALS:
            raise EvaluationError(
                f"no interval is called {self.interval!r}",
                hint=did_you_mean(str(self.interval), INTERVALS),
            )
        intervals.check_confidence(self.confidence)
        if not len(log):
            raise EvaluationError("the log is empty", hint="wait until rewards have matured")
        return self

    def around(
        self,
        values: Floats,
        estimator: Estimator,
        log: LoggedDecisions,
        candidate: Floats,
        incumbent: Floats | None,
        expected_reward: Any,
    ) -> tuple[float, float, str]:
        """The interval around the mean of contributions, and whether its range was declared."""
        if self.interval == "normal":
            return (*intervals.normal(values, self.confidence, log.customer_id), "declared")
        if self.interval == "bootstrap":
            ids, seed = log.customer_id, self.seed
            return (*intervals.bootstrap(values, self.confidence, ids, seed=seed), "declared")
        if not estimator.unbiased:
            raise EvaluationError(
                f"a {self.interval} interval needs contributions that are unbiased row by row, and"
                f" {estimator.name} has none",
                hint="use dr or ips, or interval='normal'",
            )
        if self.interval == "bernstein":
            model = None if not estimator.needs_model else np.asarray(expected_reward, dtype=float)
            weights = candidate if incumbent is None else candidate - incumbent
            terms = Terms.of(log, weights, model, floor=self.floor)
            kind = "declared" if terms.declared else "learned"
            return (*intervals.bernstein(values, self.confidence, terms.span()), kind)
        days = day_sums(
            log,
            candidate,
            incumbent,
            expected_reward,
            estimator=estimator.name,
            bound_low=self.bounds[0],
            bound_high=self.bounds[1],
            floor=self.floor,
        )
        alpha = (1 - self.confidence) / 2
        low, high, _ = sequence_interval(days, alpha, alpha)
        return low, high, days[-1].range


def _obtainable(estimator: Estimator, batch: Batch, interval: str) -> bool:
    """Whether an estimator of the default list can be had with these arguments."""
    modelled = batch.expected_reward is not None or not estimator.needs_model
    return modelled and (estimator.unbiased or interval in ("normal", "bootstrap"))


def _diagnostics(log: LoggedDecisions, weight: Floats) -> dict[str, float]:
    """Row counts, and what the importance weights of choice rows look like."""
    weight = weight[log.choice]
    return {
        "n": len(log),
        "n_choice": len(weight),
        "effective_n": effective_size(weight),
        "max_weight": float(weight.max()) if len(weight) else math.nan,
        "mean_weight": float(weight.mean()) if len(weight) else math.nan,
    }
