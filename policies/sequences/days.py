"""A day's contributions, summed: the state that carries a sequence on without old rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError
from policies.estimating.estimators import as_estimator
from policies.estimating.reward_model import rows_by_day
from policies.estimating.rows import as_model, as_target, require_probabilities
from policies.log import Array, Bools, Floats, LoggedDecisions
from policies.sequences.terms import LinearTerms


@dataclass(frozen=True)
class Side:
    """What one side's bound rests on: sums over contributions that cannot pass it.

    Attributes:
        total: Σ of the contributions, pulled in where they could pass the bound.
        square: Σ of squared distances of their residuals to the centre.
        bound: how far beyond the centre a residual may lie: one number for a whole sequence,
            0 while no row has needed it.
    """

    total: float = 0.0
    square: float = 0.0
    bound: float = 0.0

    def __add__(self, later: Side) -> Side:
        """The sums of both, and the larger bound."""
        bound = max(self.bound, later.bound)
        return Side(self.total + later.total, self.square + later.square, bound)


@dataclass(frozen=True)
class DaySums:
    """A day's contributions, summed: all that a sequence needs, so old rows are not. Days add up.

    Attributes:
        decision_date: the day; None where the log has no dates.
        n: logged rows.
        n_choice: rows with at least two eligible actions; the others contribute exactly 0.
        n_differing: rows where candidate and incumbent differ.
        total, square: Σ of the contributions as they are, and of their squares.
        reward, reward_square: Σ of the rewards, and of their squares.
        residual: Σ of the residuals: contributions less their part that is known before the draw.
        weight, weight_square: Σ of |candidate − incumbent| / probability, and of its square.
        spread: expected Σ of squared residuals, computed before the draws; 0 on the first day.
        centre: of residuals, fixed before the day (of the first row where rows are the looks).
        low, high: what the lower and the upper bound rest on.
        range: "declared" where every bound was known before the rows, else "learned".
        estimator: "dr" or "ips".
    """

    decision_date: date | None
    n: int
    n_choice: int
    n_differing: int
    total: float
    square: float
    reward: float
    residual: float
    weight: float
    weight_square: float
    centre: float
    low: Side
    high: Side
    range: str = "declared"
    estimator: str = "dr"
    reward_square: float = 0.0
    spread: float = 0.0

    def __add__(self, later: DaySums) -> DaySums:
        """This and later days as one; the date and the centre are those of the latest."""
        return replace(
            later,
            low=self.low + later.low,
            high=self.high + later.high,
            range=self.range if later.range == "declared" else later.range,
            **{name: getattr(self, name) + getattr(later, name) for name in SUMS},
        )

    @property
    def effective_n(self) -> float:
        """Kish's effective number of rows on |candidate − incumbent| / probability."""
        return self.weight**2 / self.weight_square if self.weight_square else 0.0

    def to_dict(self) -> dict[str, Any]:
        """A flat dict of numbers, strings and a date: one row of a table."""
        flat = asdict(self)
        for side in ("low", "high"):
            flat.update({f"{side}_{name}": value for name, value in flat.pop(side).items()})
        return flat

    @classmethod
    def from_dict(cls, row: Mapping[Any, Any]) -> DaySums:
        """The same from a row of a table; other columns are ignored."""
        flat = {field.name: row[field.name] for field in fields(cls) if field.type != "Side"}
        if flat["decision_date"] is not None:
            flat["decision_date"] = pd.Timestamp(flat["decision_date"]).date()
        for side in ("low", "high"):
            flat[side] = Side(*(float(row[f"{side}_{field.name}"]) for field in fields(Side)))
        return cls(**flat)


# What adds up over days: all numbers but the centre.
SUMS = {field.name for field in fields(DaySums) if field.type in ("int", "float")} - {"centre"}
NO_DAYS = DaySums(None, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, Side(), Side())


def day_sums(
    log: LoggedDecisions,
    candidate: Any,
    incumbent: Any = None,
    expected_reward: Any = None,
    *,
    estimator: str = "dr",
    before: Sequence[DaySums] = (),
    bound_low: float | None = None,
    bound_high: float | None = None,
    floor: float | None = None,
    noise: float | None = None,
) -> list[DaySums]:
    """The log's days as sums, oldest first, continuing the days `before`.

    Whatever enters must be fixed before the day it scores: both policies, and expected_reward
    (`cross_fit(log, by="date")`, or a model fitted on rows matured by then). A day's centre is the
    mean residual of the days before; without dates the rows are the looks, and each row's centre is
    the mean of those above it. With "ips" the reward model is the running mean of earlier rewards:
    unbiased, with tighter bounds; the reported estimate is plain IPS.

    Args:
        log: one or more whole days.
        candidate, incumbent: policies or (n, k) arrays, as they would act; without an incumbent the
            sums are about the candidate's value.
        expected_reward: (n, k), needed by "dr".
        estimator: "dr" or "ips".
        before: all earlier days of the same sequence.
        bound_low, bound_high: declared bounds; None takes those of the days before, and where there
            are none what the first day's contexts and logging distributions imply, which are known
            before its draws. Without dates all rows' are read: right for a logger that does not
            react to its own log.
        floor: smallest probability the logger gives an eligible action, for logs that do not know
            their distribution; None then takes it from the log, and the range is "learned".
        noise: share of the largest possible variance that rewards had before the first day, see
            `noise_share`; later days read it from those before. None: without it a dated first day
            expects nothing, and rows without dates the largest.

    Raises:
        EvaluationError: another estimator, no expected_reward, a day that is not after those
            before, or a floor that the log breaks.
    """
    require_probabilities(log)
    chosen = as_estimator(estimator)
    if not chosen.unbiased:
        raise EvaluationError(
            f"a sequence needs contributions that are unbiased row by row, unlike {chosen.name}'s",
            hint="use dr or ips",
        )
    weights = as_target(log, candidate)
    if incumbent is not None:
        weights -= as_target(log, incumbent)
    model = as_model(log, expected_reward) if chosen.needs_model else None
    terms = LinearTerms.of(log, weights, model, floor=floor)
    days: list[DaySums] = []
    past = sum(before, NO_DAYS)
    low = replace(past.low, bound=bound_low or past.low.bound)
    high = replace(past.high, bound=bound_high or past.high.bound)
    past = replace(past, low=low, high=high)  # with the bounds of the sequence
    for day, rows in _days(log):
        if past.decision_date is not None and not (day and day > past.decision_date):
            raise EvaluationError(
                f"day {day} is not after {past.decision_date}, the last day summed",
                hint="a day's sums are frozen; give later days, oldest first",
            )
        days.append(_sum(terms[rows], day, past, chosen.name, noise))
        past = past + days[-1]
    return days


def noise_share(log: LoggedDecisions, day: Any) -> float | None:
    """The share for `day_sums(noise=…)` from rewards that had matured before a day.

    Their variance, divided by the largest that rewards of this mean and range can have,
    (mean − low)·(high − mean) (Bhatia & Davis 2000): 1 for visits that cost nothing, less for money.

    Args:
        log: decisions with dates. Rows without `matured_on` count as matured the day after.
        day: a date.

    Returns:
        The share, from rows with a choice; None where none had matured, or no range is declared.

    Raises:
        EvaluationError: a log without dates.
    """
    if log.decision_date is None:
        raise EvaluationError("noise_share needs decision_date", hint="give the log its dates")
    reward = log.reward[log.matured_before(day) & log.choice]
    if log.reward_range is None or not len(reward):
        return None
    return _share(len(reward), float(reward.sum()), float(reward @ reward), log.reward_range)


def _share(n: int, total: float, square: float, reward_range: tuple[float, float]) -> float:
    """`noise_share` from sums of n rewards; 0 without any."""
    mean, (low, high) = total / max(n, 1), reward_range
    most = (mean - low) * (high - mean)
    return float(np.clip((square / n - mean**2) / most, 0.0, 1.0)) if n and most > 0 else 0.0


def _days(log: LoggedDecisions) -> Iterator[tuple[date | None, Array]]:
    """Each day and the numbers of its rows; one entry for a log without dates."""
    if log.decision_date is not None:
        for day, rows in rows_by_day(log.decision_date):
            yield pd.Timestamp(day).date(), rows
    elif len(log):
        yield None, np.arange(len(log))


def _sum(
    terms: LinearTerms, day: date | None, past: DaySums, estimator: str, noise: float | None
) -> DaySums:
    """One day's sums, given those of all days before it."""
    n, uncertain, by_row = len(terms.reward), terms.uncertain, day is None
    plain = np.where(uncertain, terms.residual, 0.0) + terms.direct
    if estimator == "ips":
        start = float(np.clip(0.0, terms.low, terms.high)) + past.reward
        level = _running_mean(terms.reward, np.ones(n, bool), start, past.n, by_row)
        terms = replace(terms, model=np.broadcast_to(level[:, None], terms.model.shape))
    residual = np.where(uncertain, terms.residual, 0.0)
    centre = _running_mean(residual, uncertain, past.residual, past.n_differing, by_row)
    high = _side(terms.mirrored(), -centre, past.high.bound)
    share = _share(past.n, past.reward, past.reward_square, (terms.low, terms.high))
    weight = np.abs(terms.weights[np.arange(n), terms.action]) / terms.action_probability
    return DaySums(
        decision_date=day,
        n=n,
        n_choice=int(terms.choice.sum()),
        n_differing=int(uncertain.sum()),
        total=float(plain.sum()),
        square=float(plain @ plain),
        reward=float(terms.reward.sum()),
        reward_square=float(terms.reward @ terms.reward),
        residual=float(residual.sum()),
        weight=float(weight.sum()),
        weight_square=float(weight @ weight),
        spread=(share or noise or float(by_row)) * _largest_spread(terms, past),
        centre=float(centre[0]),
        low=_side(terms, centre, past.low.bound),
        high=replace(high, total=-high.total),
        range="declared" if terms.declared else "learned",
        estimator=estimator,
    )


def _side(terms: LinearTerms, centre: Floats, bound: float) -> Side:
    """The lower bound's sums; those of mirrored terms are the upper bound's, total negated."""
    bound = float(bound or terms.suggested_bound())
    values, squares = terms.bounded(centre, bound)
    return Side(float(values.sum()), float(squares.sum()), bound)


def _largest_spread(terms: LinearTerms, past: DaySums) -> float:
    """The largest expected Σ residual², by the reward model or by the mean reward so far.

    The larger of the two: without earlier rows a reward model may predict 0 throughout.
    """
    by_model = terms.expected_square()
    if not past.n:
        return by_model
    mean = np.full(terms.model.shape, past.reward / past.n)
    return max(by_model, replace(terms, model=mean).expected_square())


def _running_mean(values: Floats, counted: Bools, total: float, count: int, by_row: bool) -> Floats:
    """(n,) mean before each row: of `count` earlier values with this total, and one more of 0.

    Within a day no row comes before another; where rows are the looks, those above count, too.
    """
    if not by_row:
        return np.full(len(values), total / (count + 1))
    above = np.cumsum(values) - values
    counts: Any = np.cumsum(counted) - counted.astype(np.int64)
    return np.asarray((total + above) / (count + counts + 1))
