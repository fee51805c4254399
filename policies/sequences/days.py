"""A day's contributions, summed: the state that carries a sequence on without old rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError
from policies.estimating.estimators import as_estimator
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

    total: float
    square: float
    bound: float


@dataclass(frozen=True)
class DaySums:
    """A day's contributions, summed: all that a sequence needs, so old rows are not.

    Attributes:
        decision_date: the day; None where the log has no dates.
        n: logged rows.
        n_choice: rows with at least two eligible actions; the others contribute exactly 0.
        n_differing: rows where candidate and incumbent differ.
        total, square: Σ of the contributions as they are, and of their squares.
        reward, reward_square: Σ of the rewards, and of their squares.
        residual: Σ of what the draws added to what was known before them.
        weight, weight_square: Σ of |candidate − incumbent| / probability, and of its square.
        spread: what Σ of the residuals' squares is expected to be, known before the draws; 0 while
            nothing is known to expect it from.
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

    def to_dict(self) -> dict[str, Any]:
        """A flat dict of numbers, strings and a date: one row of a table."""
        flat = asdict(self)
        for side in ("low", "high"):
            flat.update({f"{side}_{name}": value for name, value in flat.pop(side).items()})
        return flat

    @classmethod
    def from_dict(cls, row: Mapping[Any, Any]) -> DaySums:
        """The same from a row of a table; other columns are ignored."""
        names = [each.name for each in fields(cls) if each.name not in ("low", "high")]
        flat = {name: row[name] for name in names}
        if flat["decision_date"] is not None:
            flat["decision_date"] = pd.Timestamp(flat["decision_date"]).date()
        sides: dict[str, Any] = {
            side: Side(**{each.name: float(row[f"{side}_{each.name}"]) for each in fields(Side)})
            for side in ("low", "high")
        }
        return cls(**flat, **sides)


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
    the mean of those above it. In the same way "ips" takes the mean reward so far as its reward
    model: any model that is fixed before a row leaves its mean as it is, and so may change the
    bounds, while the estimate between them stays plain IPS.

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
    done, choice = list(before), log.choice
    for day, rows in _days(log):
        if (
            done
            and done[-1].decision_date is not None
            and not (day and day > done[-1].decision_date)
        ):
            raise EvaluationError(
                f"day {day} is not after {done[-1].decision_date}, the last day summed",
                hint="a day's sums are frozen; give later days, oldest first",
            )
        bounds = (bound_low, bound_high)
        seen = share_so_far(done, (terms.low, terms.high))
        share = seen or noise or (1.0 if day is None else 0.0)
        done.append(
            _sum(terms[rows], day, int(choice[rows].sum()), done, bounds, chosen.name, share)
        )
    return done[len(before) :]


def noise_share(log: LoggedDecisions, day: Any) -> float | None:
    """The share for `day_sums(noise=…)` from rewards that had matured before a day.

    Their variance, divided by the largest that rewards of this mean and range can have (Bhatia &
    Davis 2000): 1 for visits that cost nothing, less for money.

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
    known = log.decision_date + 1 if log.matured_on is None else log.matured_on
    reward = log.reward[(known <= np.datetime64(day)) & log.choice]
    if log.reward_range is None or not len(reward):
        return None
    return _share(len(reward), float(reward.sum()), float(reward @ reward), log.reward_range)


def share_so_far(days: Sequence[DaySums], reward_range: tuple[float, float]) -> float:
    """The same from all rows of some days; 0 where there are none."""
    n, total = sum(each.n for each in days), sum(each.reward for each in days)
    square = sum(each.reward_square for each in days)
    return _share(n, total, square, reward_range) if n else 0.0


def _share(n: int, total: float, square: float, reward_range: tuple[float, float]) -> float:
    mean, (low, high) = total / n, reward_range
    most = (mean - low) * (high - mean)
    return float(np.clip((square / n - mean**2) / most, 0.0, 1.0)) if most > 0 else 0.0


def _spread(terms: LinearTerms, before: Sequence[DaySums]) -> float:
    """The most that Σ residual² may be expected to be, by the reward model or the mean so far.

    The larger of the two: without earlier rows a reward model may know nothing yet, and say 0.
    """
    by_model, n = terms.foreseen_square(), sum(each.n for each in before)
    if not n:
        return by_model
    mean = np.full(terms.model.shape, sum(each.reward for each in before) / n)
    return max(by_model, replace(terms, model=mean).foreseen_square())


def _days(log: LoggedDecisions) -> list[tuple[date | None, Array]]:
    """Each day and the numbers of its rows; one entry for a log without dates."""
    if log.decision_date is None or not len(log):
        return [(None, np.arange(len(log)))] if len(log) else []
    order = np.argsort(log.decision_date, kind="stable")
    days, starts = np.unique(log.decision_date[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [(pd.Timestamp(day).date(), rows) for day, rows in zip(days, parts)]


def _sum(
    terms: LinearTerms,
    day: date | None,
    n_choice: int,
    before: Sequence[DaySums],
    bounds: tuple[float | None, float | None],
    estimator: str,
    share: float,
) -> DaySums:
    """One day's sums, given the days before it."""
    n, uncertain = len(terms.reward), terms.uncertain
    plain = np.where(uncertain, terms.residual, 0.0) + terms.direct
    if estimator == "ips":
        level, _ = _mean_before(
            terms.reward,
            np.ones(n, bool),
            before,
            ("reward", "n"),
            by_row=day is None,
            lean=float(np.clip(0.0, terms.low, terms.high)),
        )
        terms = replace(terms, model=np.broadcast_to(level[:, None], terms.model.shape))
    residual = np.where(uncertain, terms.residual, 0.0)
    centre, start = _mean_before(
        residual, uncertain, before, ("residual", "n_differing"), by_row=day is None
    )
    sides = []
    for rows, middle, declared, name in (
        (terms, centre, bounds[0], "low"),
        (terms.mirrored(), -centre, bounds[1], "high"),
    ):
        earlier = max((getattr(each, name).bound for each in before), default=0.0)
        bound = declared or earlier or rows.suggested_bound()
        values, squares = rows.bounded(middle, bound)
        sign = 1.0 if name == "low" else -1.0
        sides.append(Side(float(sign * values.sum()), float(squares.sum()), float(bound)))
    spread = share * _spread(terms, before)
    weight = np.abs(terms.weights[np.arange(n), terms.action]) / terms.action_probability
    return DaySums(
        decision_date=day,
        n=n,
        n_choice=n_choice,
        n_differing=int(uncertain.sum()),
        total=float(plain.sum()),
        square=float(plain @ plain),
        reward=float(terms.reward.sum()),
        reward_square=float(terms.reward @ terms.reward),
        residual=float(residual.sum()),
        weight=float(weight.sum()),
        weight_square=float(weight @ weight),
        spread=spread,
        centre=start,
        low=sides[0],
        high=sides[1],
        range="declared" if terms.declared else "learned",
        estimator=estimator,
    )


def _mean_before(
    values: Floats,
    counts: Bools,
    before: Sequence[DaySums],
    names: tuple[str, str],
    *,
    by_row: bool,
    lean: float = 0.0,
) -> tuple[Floats, float]:
    """(n,) mean of what came before each row and one `lean`; and the mean before the first row.

    Within a day no row comes before another, unless rows are the looks.
    """
    total = lean + sum(getattr(each, names[0]) for each in before)
    count = sum(getattr(each, names[1]) for each in before)
    start = total / (count + 1)
    if not by_row:
        return np.full(len(values), start), float(start)
    above = np.cumsum(values) - values
    counted: Any = np.cumsum(counts) - counts.astype(np.int64)
    return (total + above) / (count + counted + 1), float(start)
