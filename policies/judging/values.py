"""What a policy would have earned on a log, and what it would have earned more than another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError, did_you_mean
from policies.estimating import intervals
from policies.estimating.arguments import check_confidence, check_seed, number
from policies.estimating.auto import Auto
from policies.estimating.blocks import block_rows
from policies.estimating.estimators import Estimator, as_estimator, as_estimators, labels
from policies.estimating.rows import (
    EvaluationRows,
    RowReader,
    as_model,
    as_target,
    evaluation_rows,
    require_probabilities,
)
from policies.estimating.summing import Summed, row_contributions, sum_blocks, sum_rows
from policies.estimating.sums import (
    Customers,
    Parts,
    Sums,
    WeightSums,
    effective_size,
    reward_reach,
    table_row,
)
from policies.judging.sensitivity import sensitivity_gamma
from policies.log import Array, Bools, Floats, LoggedDecisions
from policies.sequences.confidence_sequence import sequence_interval
from policies.sequences.days import day_sums
from policies.sequences.terms import LinearTerms

INTERVALS = ("normal", "bootstrap", "bernstein", "sequence")
BY_ROW = ("bernstein", "sequence")  # need contributions that are unbiased row by row
DEFAULT = ("ips", "snips", "dm", "dr")
Bounds = tuple["float | None", "float | None"]


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
        chosen = [each for each in chosen if modelled or not each.needs_model]
        chosen = [each for each in chosen if any_kind or each.unbiased]
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
    named = as_estimator(estimator)
    ours = evaluation_rows(log, question.target, expected_reward)
    theirs = evaluation_rows(log, question.incumbent, expected_reward)
    used, source = named.chosen(ours, theirs), named.interval_from(ours)
    values = _paired(used, ours, theirs, log.choice)
    spread = values if source == used else _paired(source, ours, theirs, log.choice)
    sums = Sums.of(Parts(spread), question.customers)
    unsupported = min(ours.unsupported_share + theirs.unsupported_share, 1.0)
    low, high, range_ = question.around(source, sums, spread)
    low, high = low - question.hidden(unsupported), high + question.hidden(unsupported)
    verdict = "promote" if low > -margin else "reject" if high < -margin else "hold"
    bound = low if verdict == "promote" else high
    skill = WeightSums.of(ours, log.choice).model_skill if used.needs_model else math.nan
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
        interval=interval,
        confidence=confidence,
        margin=margin,
        range=range_,
        probabilities=log.probabilities,
        unbiased=used.unbiased,
        unsupported=unsupported,
        model_skill=None if math.isnan(skill) else skill,
        robust_to=_robustness(source, spread, ours, theirs, verdict, bound, margin),
    )


def _paired(
    estimator: Estimator, ours: EvaluationRows, theirs: EvaluationRows, choice: Bools
) -> Floats:
    """(n,) contributions to the difference; exactly 0 on forced rows."""
    if choice.all():
        return row_contributions(estimator, ours) - row_contributions(estimator, theirs)
    values = np.zeros(len(ours))  # a ratio, too, is one of choice rows only
    if choice.any():
        sides = (row_contributions(estimator, side[choice]) for side in (ours, theirs))
        values[choice] = np.subtract(*sides)
    return values


def _robustness(
    estimator: Estimator,
    contributions: Floats,
    ours: EvaluationRows,
    theirs: EvaluationRows,
    verdict: str,
    bound: float,
    margin: float,
) -> float | None:
    """`Comparison.robust_to`: `bound` is the one on which the verdict rests."""
    if verdict == "hold" or not estimator.unbiased:
        return None
    direct = np.zeros(len(ours))
    if estimator.needs_model:
        direct = ours.model[0] - theirs.model[0]
    sign = 1.0 if verdict == "promote" else -1.0
    drawn = contributions - direct
    return sensitivity_gamma(sign * direct, sign * drawn, sign * bound, -sign * margin)


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked about a log: the value of a target, or its difference to an incumbent.

    The other fields are arguments of `evaluate`. An interval that needs whole distributions gets
    them as arrays, so that every policy is called once per row.

    Raises:
        EvaluationError: an argument that makes no sense, or an empty log.
    """

    log: LoggedDecisions
    target: Any
    incumbent: Any = None
    expected_reward: Any = None
    interval: str = "normal"
    confidence: float = 0.95
    floor: float | None = None
    bounds: Bounds = (None, None)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the arguments, and call policies where whole distributions are needed."""
        if self.interval not in INTERVALS:
            raise EvaluationError(
                f"no interval is called {self.interval!r}",
                hint=did_you_mean(str(self.interval), INTERVALS),
            )
        check_confidence(self.confidence)
        check_seed(self.seed)
        if not isinstance(self.bounds, (tuple, list)) or len(self.bounds) != 2:
            raise EvaluationError(
                f"bounds must be (low, high), each a number or None, not {self.bounds!r}"
            )
        for name, value in (("floor", self.floor), *(("bounds", bound) for bound in self.bounds)):
            if value is not None and not number(name, value) > 0:
                raise EvaluationError(f"{name} must be above 0, and is {value}")
        require_probabilities(self.log)
        if not len(self.log):
            raise EvaluationError("the log is empty", hint="wait until rewards have matured")
        for name in ("target", "incumbent"):
            policy = getattr(self, name)
            if self.interval in BY_ROW and (name == "target" or policy is not None):
                object.__setattr__(self, name, as_target(self.log, policy))

    @property
    def customers(self) -> Customers | None:
        """Each row's customer and their number, where ids are given."""
        return None if self.log.customer_id is None else self.log.customers

    def hidden(self, unsupported: float) -> float:
        """How far what no draw can show may move a mean: its share times the reach of the rewards.

        A sequence has taken the worst for it already, where the distribution is known.
        """
        log = self.log
        if not unsupported or (self.interval == "sequence" and log.distribution is not None):
            return 0.0
        return unsupported * reward_reach(
            *(log.reward_range or (float(log.reward.min()), float(log.reward.max())))
        )

    def around(
        self, estimator: Estimator, sums: Sums, contributions: Floats | None
    ) -> tuple[float, float, str]:
        """An interval around the mean of contributions, and `Comparison.range`.

        A normal one is made from sums alone.
        """
        if self.interval == "normal" or contributions is None:
            return (*intervals.normal(sums.value, sums.std_error, self.confidence), "none")
        if self.interval == "bootstrap":
            drawn = intervals.bootstrap(
                contributions, self.confidence, self.customers, seed=self.seed
            )
            return (*drawn, "none")
        if not estimator.unbiased:
            raise EvaluationError(
                f"the interval {self.interval!r} needs contributions that are unbiased row by row,"
                f" and {estimator.name} has none",
                hint="use dr or ips, or interval='normal'",
            )
        if self.interval == "bernstein":
            return self._bernstein(estimator, contributions)
        days = day_sums(
            self.log,
            self.target,
            self.incumbent,
            self.expected_reward,
            estimator=estimator.name,
            bound_low=self.bounds[0],
            bound_high=self.bounds[1],
            floor=self.floor,
        )
        alpha = (1 - self.confidence) / 2
        low, high, _ = sequence_interval(days, alpha, alpha)
        return low, high, days[-1].range

    def _bernstein(self, estimator: Estimator, contributions: Floats) -> tuple[float, float, str]:
        log = self.log
        weights = self.target if self.incumbent is None else self.target - self.incumbent
        model = as_model(log, self.expected_reward) if estimator.needs_model else None
        terms = LinearTerms.of(log, weights, model, floor=self.floor)
        low, high = intervals.bernstein(contributions, self.confidence, terms.span())
        return low, high, "declared" if terms.declared else "learned"


def value_table(
    question: Question,
    estimators: Sequence[Estimator],
    segment: Array | None = None,
    names: Sequence[Any] = ("all",),
) -> pd.DataFrame:
    """The table of `evaluate` and `evaluate_by`: a row a segment and estimator.

    Args:
        question: the log, the target, and the interval (a normal one, where there are segments).
        estimators: what values are estimated by.
        segment: (n,) number of each row's segment; None = all rows are one.
        names: the segments' names.
    """
    log, n = question.log, len(question.log)
    named, rows = dict(zip(labels(estimators), estimators)), None
    chosen: dict[str, Estimator] = {}
    normal, automatic = question.interval == "normal", any(isinstance(e, Auto) for e in estimators)
    if normal and segment is None and log.customer_id is None and not automatic:
        pairs = {label: (each.given(n), each.given(n)) for label, each in named.items()}
        read = RowReader(log, question.target, question.expected_reward)
        wanted = list({used: None for used, _ in pairs.values()})
        size = block_rows(log.n_actions)
        parts = [sum_blocks(read, log.choice, size, wanted, alone=read.alone)]
    else:
        rows = evaluation_rows(log, question.target, question.expected_reward)
        chosen = {label: each.chosen(rows) for label, each in named.items()}
        pairs = {
            label: (used.given(n), named[label].interval_from(rows).given(n))
            for label, used in chosen.items()
        }
        wanted = list({each: None for pair in pairs.values() for each in pair})
        parts = list(_sum_segments(question, rows, wanted, segment, len(names)))
    table, range_ = {}, "none"
    for name, part in zip(names, parts):
        hidden = question.hidden(part.weights.unsupported_share)
        for label, (used, source) in pairs.items():
            sums = part.estimates[source]
            spread = None if normal or rows is None else row_contributions(source, rows)
            low, high, range_ = question.around(source, sums, spread)
            table[name, label] = table_row(
                part.estimates[used].value,
                sums.std_error,
                (low, high),
                part.weights,
                hidden,
                strict=segment is not None,
            )
    frame = pd.DataFrame.from_dict(table, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(table), names=["segment", "estimator"])
    weights = WeightSums.merged([part.weights for part in parts])
    frame.attrs.update(
        {label: repr(used) for label, used in chosen.items() if used is not named[label]},
        model_skill=weights.model_skill,
        unsupported=weights.unsupported_share,
        probabilities=log.probabilities,
        range=range_,
    )
    return frame


def _sum_segments(
    question: Question,
    rows: EvaluationRows,
    estimators: Sequence[Estimator],
    segment: Array | None,
    count: int,
) -> Iterator[Summed]:
    """The sums of each segment's rows, in order."""
    log = question.log
    if segment is None:
        yield sum_rows(rows, log.choice, estimators, question.customers)
        return
    order = np.argsort(segment, kind="stable")
    starts = np.searchsorted(segment[order], np.arange(count + 1))
    for first, end in zip(starts[:-1], starts[1:]):
        part, customers = order[first:end], None
        if log.customer_id is not None:
            codes, ids = pd.factorize(log.customers[0][part])
            customers = (codes, len(ids))
        yield sum_rows(rows[part], log.choice[part], estimators, customers)
