"""What a policy would have earned on a log, and what it would have earned more than another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError, did_you_mean
from policies.estimating import intervals
from policies.estimating.auto import as_estimator, as_estimators, labels
from policies.estimating.blocks import ROWS, Moments, block_rows, moments
from policies.estimating.estimators import Estimator, Stream
from policies.estimating.rows import (
    EvaluationRows,
    as_model,
    as_target,
    batch_of,
    check_seed,
    effective_size,
    number,
    reader,
    require_probabilities,
)
from policies.judging.rules import RuleInput, read_rules, verdict_of
from policies.judging.sensitivity import sensitivity_gamma
from policies.log import Bools, Floats, LoggedDecisions
from policies.sequences.confidence_sequence import sequence_interval
from policies.sequences.days import day_sums
from policies.sequences.terms import LinearTerms

INTERVALS = ("normal", "bootstrap", "bernstein", "sequence")
DEFAULT: tuple[str, ...] = ("ips", "snips", "dm", "dr")
Bounds = tuple["float | None", "float | None"]
SEEN = 3  # columns of `_seen`


@dataclass(frozen=True)
class Comparison:
    """What a candidate earns more than an incumbent, per logged row, and what follows from it.

    Attributes:
        difference, low, high, std_error: in reward units per logged row, forced rows included.
        n, n_choice: logged rows, and those with at least two eligible actions.
        effective_n: Kish's number on |candidate − incumbent| / probability over choice rows.
        verdict: "promote" (low > −margin), "reject" (high < −margin), else "hold".
        estimator, interval, confidence, margin: as asked for.
        range: what the interval's bounds rest on: "declared", "learned" where it was read from the
            log itself, "none" where the interval needs none.
        probabilities: "logged", or "estimated" where they were.
        unbiased: whether the estimator is; a verdict on one that is not is as good as its bias.
        unsupported: share of the difference on actions that the logger never draws there; what it
            may hide widens low and high.
        model_skill: of the reward model on these rows, see `model_skill`; None without one.
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
            rows independent) or "sequence" (valid at every look; about the logged rows' running
            mean; ips and dr).
        confidence: two-sided, in (0, 1).
        floor: least probability that the logger gives an eligible action, for logs that do not know
            their distribution; without either, bernstein and sequence read it from the log.
        bounds: (low, high) of a sequence; both: see `day_sums.day_sums`.
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
    asked = _Asked(interval, confidence, floor, bounds, seed).checked(log)
    chosen = as_estimators(estimators)
    if estimators is DEFAULT:
        modelled = expected_reward is not None
        chosen = [each for each in chosen if _obtainable(each, modelled, interval)]
    summed = interval == "normal" and log.customer_id is None  # then moments say it all
    read, alone = reader(log, target, expected_reward)
    streams: dict[Estimator, Stream] = {}
    batch, pairs = None, [(each, each) for each in chosen]
    if summed:
        about = float(log.reward[:ROWS].mean())
        possible = {each: each.stream(len(log), about) for each in chosen}
        streams = {each: stream for each, stream in possible.items() if stream}
    if len(streams) < len(set(chosen)):
        batch = batch_of(log, target, expected_reward)
        read, alone = batch.__getitem__, False
        pairs = [(each.resolved(batch), each.anchor(batch)) for each in chosen]
        streams = {each: Stream.of(each.in_blocks(batch)) for pair in pairs for each in pair}
    found, sums, most, unsupported = _visited(log, read, alone, streams)
    diagnostics, hidden = _diagnostics(found, most, len(log)), asked.hidden(log, unsupported)
    rows, kinds = {}, set()
    attrs: dict[str, Any] = {
        "model_skill": _skill(found),
        "unsupported": unsupported,
        "probabilities": log.probabilities,
    }
    for label, each, (used, anchor) in zip(labels(chosen), chosen, pairs):
        if batch is None or summed:
            mean, square = sums[anchor]
            error = intervals.error_of(square, len(log), len(log))
            low, high, kind = *intervals.normal(mean, error, confidence), "none"
        else:
            spread = anchor.contributions(batch)
            error = intervals.standard_error(spread, _customers(log))
            low, high, kind = asked.around(
                spread, error, anchor, log, target, None, expected_reward
            )
        rows[label] = {
            "value": sums[used][0],
            "std_error": error,
            "low": low - hidden,
            "high": high + hidden,
            **diagnostics,
        }
        kinds.add(kind)
        if used is not each:
            attrs[label] = repr(used)
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index.name = "estimator"
    frame.attrs.update(attrs, range=kinds.pop())  # one interval, so one kind
    return frame


def _visited(
    log: LoggedDecisions,
    read: Callable[[slice], EvaluationRows],
    alone: bool,
    streams: Mapping[Estimator, Stream],
) -> tuple[Moments, dict[Estimator, tuple[float, float]], float, float]:
    """In one visit, moments of `_seen`, what each stream sums to, most weight, and unsupported."""
    n, size = len(log), block_rows(log.n_actions)
    most, outside = np.zeros((2, -(-n // size)))

    def columns(rows: slice) -> list[Floats]:
        part = read(rows)
        seen, at = _seen(part, log.choice[rows]), rows.start // size
        most[at], outside[at] = seen[0].max(initial=0), part.unsupported * len(part)
        return sum((each.columns(rows, part) for each in streams.values()), seen)

    found = moments(n, size, columns, alone=alone)
    sums, at = {}, SEEN
    for each, stream in streams.items():
        sums[each] = stream.summed(Moments(*(kind[at : at + stream.width] for kind in found)))
        at += stream.width
    return found, sums, float(most.max()), float(outside.sum()) / n


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
    asked = _Asked(interval, confidence, floor, bounds, seed).checked(log)
    each = as_estimator(estimator)
    ours = batch_of(log, candidate, expected_reward)
    theirs = batch_of(log, incumbent, expected_reward)
    used, anchor = each.resolved(ours, theirs), each.anchor(ours)
    values = spread = _paired(log, used, ours, theirs)
    if anchor not in (used, each):
        spread = _paired(log, anchor, ours, theirs)
    error = intervals.standard_error(spread, _customers(log))
    low, high, kind = asked.around(
        spread, error, anchor, log, candidate, incumbent, expected_reward
    )
    unsupported = min(ours.unsupported + theirs.unsupported, 1.0)
    hidden = asked.hidden(log, unsupported)
    low, high = low - hidden, high + hidden
    verdict = verdict_of(read_rules(RuleInput(low, high, -margin), ("better", "worse")))
    robust = None
    if anchor.unbiased and verdict != "hold":
        direct = np.zeros(len(log))
        if anchor.needs_model:
            direct = ours.model[0] - theirs.model[0]
        sign, end = (1.0, low) if verdict == "promote" else (-1.0, high)
        robust = sensitivity_gamma(
            sign * direct, sign * (spread - direct), sign * end, -sign * margin
        )
    skill = model_skill(log, ours) if used.needs_model else math.nan
    return Comparison(
        difference=float(values.mean()),
        low=low,
        high=high,
        std_error=error,
        n=len(log),
        n_choice=int(log.choice.sum()),
        effective_n=effective_size(np.abs(ours.weight - theirs.weight)[log.choice]),
        verdict=verdict,
        estimator=each.name,
        interval=interval,
        confidence=confidence,
        margin=margin,
        range=kind,
        probabilities=log.probabilities,
        unbiased=used.unbiased,
        unsupported=unsupported,
        model_skill=None if math.isnan(skill) else skill,
        robust_to=robust,
    )


def _paired(
    log: LoggedDecisions, estimator: Estimator, ours: EvaluationRows, theirs: EvaluationRows
) -> Floats:
    """(n,) contributions to the difference; exactly 0 on forced rows."""
    if log.choice.all():
        return estimator.contributions(ours) - estimator.contributions(theirs)
    values = np.zeros(len(log))  # a ratio, too, is one of choice rows only
    parts = (estimator.contributions(each[log.choice]) for each in (ours, theirs))
    values[log.choice] = np.subtract(*parts)
    return values


def model_skill(log: LoggedDecisions, batch: EvaluationRows) -> float:
    """How much better than a constant the reward model foretells these choice rows' rewards.

    1 − Σ (r − q(A))² / Σ (r − mean r)²: 1 is perfect, 0 no better than the mean reward, below 0
    worse. Honest only if q never saw the row. NaN without a model, or where rewards do not vary.
    DM is as good as this; DR only gets wider as it falls.
    """
    if batch.residual is None or not len(batch):
        return math.nan
    return _skill(moments(len(batch), ROWS, lambda at: _seen(batch[at], log.choice[at])))


def _seen(part: EvaluationRows, choice: Bools) -> list[Floats]:
    """Weights of rows that had a choice, and with a model their residuals and rewards."""
    nothing = np.empty(0)
    columns = [part.weight, nothing, nothing]
    if part.residual is not None:
        columns[1:] = part.residual, part.reward
    return columns if choice.all() else [each[choice] if len(each) else each for each in columns]


def _skill(found: Moments) -> float:
    """The skill of a reward model, from moments of `_seen`."""
    missed = float(found.square[1] + found.size[1] * found.mean[1] ** 2)
    return 1 - missed / float(found.square[2]) if found.square[2] else math.nan


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
        intervals.check_confidence(number("confidence", self.confidence))
        check_seed(self.seed)
        for name, value in zip(("floor", "bounds", "bounds"), (self.floor, *_pair(self.bounds))):
            if value is not None and not number(name, value) > 0:
                raise EvaluationError(f"{name} must be above 0, and is {value}")
        require_probabilities(log)
        if not len(log):
            raise EvaluationError("the log is empty", hint="wait until rewards have matured")
        return self

    def hidden(self, log: LoggedDecisions, unsupported: float) -> float:
        """How far what no draw can show may move a mean: its share times the reach of the rewards.

        A sequence has taken the worst for it already, where the distribution is known.
        """
        if not unsupported or (self.interval == "sequence" and log.distribution is not None):
            return 0.0
        low, high = log.reward_range or (float(log.reward.min()), float(log.reward.max()))
        return unsupported * (max(high, 0.0) - min(low, 0.0))

    def around(
        self,
        values: Floats,
        std_error: float,
        estimator: Estimator,
        log: LoggedDecisions,
        candidate: Any,
        incumbent: Any,
        expected_reward: Any,
    ) -> tuple[float, float, str]:
        """The interval around the mean of contributions, and whether its range was declared."""
        if self.interval == "normal":
            mean = float(values.mean())
            return (*intervals.normal(mean, std_error, self.confidence), "none")
        if self.interval == "bootstrap":
            drawn = intervals.bootstrap(values, self.confidence, _customers(log), seed=self.seed)
            return (*drawn, "none")
        if not estimator.unbiased:
            raise EvaluationError(
                f"the interval {self.interval!r} needs contributions that are unbiased row by row,"
                f" and {estimator.name} has none",
                hint="use dr or ips, or interval='normal'",
            )
        if self.interval == "bernstein":
            weights = as_target(log, candidate)
            if incumbent is not None:
                weights -= as_target(log, incumbent)
            model = as_model(log, expected_reward) if estimator.needs_model else None
            terms = LinearTerms.of(log, weights, model, floor=self.floor)
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


def _pair(bounds: Any) -> Bounds:
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise EvaluationError(f"bounds must be (low, high), each a number or None, not {bounds!r}")
    return bounds[0], bounds[1]


def _customers(log: LoggedDecisions) -> intervals.Customers | None:
    return None if log.customer_id is None else log.customers


def _obtainable(estimator: Estimator, modelled: bool, interval: str) -> bool:
    """Whether an estimator of the default list can be had with these arguments."""
    possible = modelled or not estimator.needs_model
    return possible and (estimator.unbiased or interval in ("normal", "bootstrap"))


def _diagnostics(found: Moments, most: float, n: int) -> dict[str, float]:
    """Row counts, and what the importance weights look like, from moments of `_seen`."""
    n_choice, mean = int(found.size[0]), float(found.mean[0])
    square = float(found.square[0]) + n_choice * mean**2
    return {
        "n": n,
        "n_choice": n_choice,
        "effective_n": (n_choice * mean) ** 2 / square if square else 0.0,
        "max_weight": most if n_choice else math.nan,
        "mean_weight": mean if n_choice else math.nan,
    }
