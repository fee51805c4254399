"""Evidence: day sums that carry a sequence on, and what a log can say about a target at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError
from policies.evaluation.bounds import Terms
from policies.evaluation.estimators import IPS, as_estimator, as_target, batch_of, effective_size
from policies.evaluation.intervals import TUNED_AT, best_rho, boundary, standard_error
from policies.logged import Array, Floats, LoggedDecisions


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
        residual: Σ of total minus what was known before the draws.
        weight, weight_square: Σ of |candidate − incumbent| / probability, and of its square.
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
    residual: float
    weight: float
    weight_square: float
    centre: float
    low: Side
    high: Side
    range: str = "declared"
    estimator: str = "dr"

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
) -> list[DaySums]:
    """The log's days as sums, oldest first, continuing the days `before`.

    Whatever enters must be fixed before the day it scores: both policies, and expected_reward
    (`cross_fit(log, by="date")`, or a model fitted on rows matured by then). A day's centre is the
    mean residual of the days before; without dates the rows are the looks, and each row's centre is
    the mean of those above it.

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

    Raises:
        EvaluationError: another estimator, no expected_reward, a day that is not after those
            before, or a floor that the log breaks.
    """
    chosen = as_estimator(estimator)
    if not chosen.unbiased:
        raise EvaluationError(
            f"a sequence needs contributions that are unbiased row by row, unlike {chosen.name}'s",
            hint="use dr or ips",
        )
    batch = batch_of(log, candidate, expected_reward)
    weights = batch.target if incumbent is None else batch.target - as_target(log, incumbent)
    model = batch.model if chosen.needs_model else None
    terms = Terms.of(log, weights, model, floor=floor)
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
        done.append(_sum(terms[rows], day, int(choice[rows].sum()), done, bounds, chosen.name))
    return done[len(before) :]


def _days(log: LoggedDecisions) -> list[tuple[date | None, Array]]:
    """Each day and the numbers of its rows; one entry for a log without dates."""
    if log.decision_date is None or not len(log):
        return [(None, np.arange(len(log)))] if len(log) else []
    order = np.argsort(log.decision_date, kind="stable")
    days, starts = np.unique(log.decision_date[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [(pd.Timestamp(day).date(), rows) for day, rows in zip(days, parts)]


def _sum(
    terms: Terms,
    day: date | None,
    n_choice: int,
    before: Sequence[DaySums],
    bounds: tuple[float | None, float | None],
    estimator: str,
) -> DaySums:
    """One day's sums, given the days before it."""
    uncertain, residual = terms.uncertain, np.where(terms.uncertain, terms.residual, 0.0)
    past = sum(each.residual for each in before), sum(each.n_differing for each in before)
    start = past[0] / (past[1] + 1)
    centre = np.full(len(residual), start)
    if day is None:
        summed = np.cumsum(residual) - residual
        counted: Any = np.cumsum(uncertain) - uncertain.astype(np.int64)
        centre = (past[0] + summed) / (past[1] + counted + 1)
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
    contributions = terms.direct + residual
    weight = (
        np.abs(terms.weights[np.arange(len(residual)), terms.action]) / terms.action_probability
    )
    return DaySums(
        decision_date=day,
        n=len(residual),
        n_choice=n_choice,
        n_differing=int(uncertain.sum()),
        total=float(contributions.sum()),
        square=float(contributions @ contributions),
        residual=float(residual.sum()),
        weight=float(weight.sum()),
        weight_square=float(weight @ weight),
        centre=float(start),
        low=sides[0],
        high=sides[1],
        range="declared" if terms.declared else "learned",
        estimator=estimator,
    )


def sequence_interval(
    days: Sequence[DaySums],
    alpha_low: float,
    alpha_high: float,
    *,
    tuned_at: float = TUNED_AT,
) -> tuple[float, float, float]:
    """Bounds that hold at every look, from day sums: (low, high, difference) per logged row.

    What they bound is the running mean, over all logged rows so far, of each row's conditional mean
    given the past: contexts, loggers and policies may change. With probability at least
    1 − alpha_low it never lies below low, whenever and however often one looks; likewise high.

    Empirical-Bernstein sequence with a gamma-exponential mixture (Howard, Ramdas, McAuliffe &
    Sekhon 2021, Theorem 4 and Proposition 9): low = (Σ X − c·s(V / c²)) / n, V = Σ (X − centre)².

    Args:
        days: all days of the sequence.
        alpha_low, alpha_high: error probability of each side.
        tuned_at: V, in squares of the wider of the two bounds, at which the interval is tightest;
            declared, like everything else, before the first look.

    Raises:
        EvaluationError: no days, or bounds that changed within the sequence.
    """
    n = sum(each.n for each in days)
    if not n:
        raise EvaluationError("a sequence needs at least one row", hint="wait for a matured day")
    widest = max(max(each.low.bound, each.high.bound) for each in days)
    reach = []
    for name, alpha in (("low", alpha_low), ("high", alpha_high)):
        sides = [getattr(each, name) for each in days]
        bound = {side.bound for side in sides if side.square or side.bound}
        if len(bound) > 1:
            raise EvaluationError(
                f"the {name} bound changed within the sequence: {sorted(bound)}",
                hint="a bound is fixed before the first row; pass the days so far as `before`",
            )
        c = bound.pop() if bound else 0.0
        v = sum(side.square for side in sides)
        half = 0.0
        if c:
            half = c * float(
                boundary(v / c**2, alpha, best_rho(alpha, tuned_at * (widest / c) ** 2))
            )
        reach.append((sum(side.total for side in sides), half))
    low, high = (reach[0][0] - reach[0][1]) / n, (reach[1][0] + reach[1][1]) / n
    return low, high, sum(each.total for each in days) / n


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
        outside = float(np.where(log.distribution > 0, 0.0, batch.target)[choice].sum())
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
