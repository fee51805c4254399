"""What a policy would have earned on a log, by segment, and more than another policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError, did_you_mean
from policies.estimating.arguments import number
from policies.estimating.auto import Auto
from policies.estimating.blocks import block_rows
from policies.estimating.estimators import Estimator, as_estimator, as_estimators, labels
from policies.estimating.rows import EvaluationRows, RowReader, evaluation_rows
from policies.estimating.summing import Summed, row_contributions, sum_blocks, sum_rows
from policies.estimating.sums import Parts, Sums, WeightSums, effective_size, table_row
from policies.judging.question import BY_ROW, Bounds, Question
from policies.judging.rules import RuleInput, read_rules, verdict_of
from policies.judging.sensitivity import sensitivity_gamma
from policies.log import Array, Bools, Floats, LoggedDecisions

DEFAULT = ("ips", "snips", "dm", "dr")
MOST_SEGMENTS = 1_000  # beyond that a column is an identifier, and no interval says anything


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
        chosen = [named for named in chosen if expected_reward is not None or not named.needs_model]
        chosen = [named for named in chosen if interval not in BY_ROW or named.unbiased]
    return _value_table(question, chosen).droplevel("segment")


def evaluate_by(
    log: LoggedDecisions,
    target: Any,
    by: Any,
    *,
    estimators: str | Estimator | Iterable[str | Estimator] = ("dr",),
    expected_reward: Any = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What the target would have earned in each segment, with intervals that hold for all of them.

    With m segments each interval has confidence 1 − (1 − confidence) / m (Bonferroni), so that the
    chance that any of an estimator's m intervals misses is at most 1 − confidence: picking the best
    looking segment afterwards is allowed. Normal intervals, by customer where ids are given. Each is
    widened by the segment's own share of the target on actions that the logger never draws there,
    times the reach of the log's rewards, as `evaluate` widens that of the whole log.

    Args:
        log: n decisions.
        target: a policy or an (n, k) array.
        by: a column of the contexts, "decision_date", or (n,) labels; a missing label is a segment.
        estimators, expected_reward: as in `evaluate`; a ratio is normalised within its segment.
        confidence: of all intervals of an estimator together.

    Returns:
        A frame indexed by segment and estimator with the columns of `evaluate`. `.attrs` as there,
        and "segments" (m) and "confidence_each". A segment without weight has no error and, unless the
        logger never draws the target's actions there, no interval (NaN).

    Raises:
        EvaluationError: an unknown column, more than 1,000 segments, or what `evaluate` refuses.
    """
    question = Question(log, target, None, expected_reward, confidence=confidence)
    codes, names = _segments(log, by)
    question = replace(question, confidence=1 - (1 - confidence) / len(names))
    frame = _value_table(question, as_estimators(estimators), codes, names)
    frame.attrs.update(segments=len(names), confidence_each=question.confidence)
    return frame.sort_index(level="segment", sort_remaining=False, kind="stable")


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


def _value_table(
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
    log, normal, rows = question.log, question.interval == "normal", None
    automatic = any(isinstance(estimator, Auto) for estimator in estimators)
    if automatic or not normal or segment is not None or log.customer_id is not None:
        rows = evaluation_rows(log, question.target, question.expected_reward)
    pairs, members = {}, {}  # the estimators of value and interval; what "auto" chose
    for label, named in zip(labels(estimators), estimators):
        used = source = named
        if rows is not None:
            used, source = named.chosen(rows), named.interval_from(rows)
        if used is not named:
            members[label] = repr(used)
        pairs[label] = used.given(len(log)), source.given(len(log))
    wanted = list({estimator: None for pair in pairs.values() for estimator in pair})
    parts = list(_sum_segments(question, rows, wanted, segment))
    table, range_ = {}, "none"
    for name, part in zip(names, parts):
        hidden = question.hidden(part.weights.unsupported_share)
        for label, (used, source) in pairs.items():
            sums = part.estimates[source]
            spread = None if normal or rows is None else row_contributions(source, rows)
            ends, range_ = question.around(source, sums, spread)
            estimate = part.estimates[used].value, sums.std_error, ends, part.weights, hidden
            table[name, label] = table_row(*estimate, strict=segment is not None)
    frame = pd.DataFrame.from_dict(table, orient="index").rename_axis(["segment", "estimator"])
    weights = WeightSums.merged([part.weights for part in parts])
    frame.attrs.update(
        members,
        model_skill=weights.model_skill,
        unsupported=weights.unsupported_share,
        probabilities=log.probabilities,
        range=range_,
    )
    return frame


def _sum_segments(
    question: Question,
    rows: EvaluationRows | None,
    estimators: Sequence[Estimator],
    segment: Array | None,
) -> Iterator[Summed]:
    """The sums of each segment's rows, in order; rows=None reads the log block by block."""
    log = question.log
    if rows is None:
        read = RowReader(log, question.target, question.expected_reward)
        yield sum_blocks(read, log.choice, block_rows(log.n_actions), estimators, alone=read.alone)
    elif segment is None:
        yield sum_rows(rows, log.choice, estimators, question.customers)
    else:
        starts = np.cumsum(np.bincount(segment))[:-1]
        for part in np.split(np.argsort(segment, kind="stable"), starts):
            customers = None
            if log.customer_id is not None:
                codes, ids = pd.factorize(log.customers[0][part])
                customers = (codes, len(ids))
            yield sum_rows(rows[part], log.choice[part], estimators, customers)


def _segments(log: LoggedDecisions, by: Any) -> tuple[Array, list[Any]]:
    """(n,) number of each row's segment, and the segments' labels in order."""
    values, hint = by, "a column of the contexts, 'decision_date', or one label a row"
    if isinstance(by, pd.Series) and not by.index.equals(pd.RangeIndex(len(by))):
        what = "segments come with an index of their own"
        raise EvaluationError(what, hint="in the log's order: by.to_numpy()")
    if isinstance(by, str):
        columns = [] if log.contexts is None else list(log.contexts.columns)
        if by == "decision_date" and log.decision_date is not None:
            values = log.decision_date
        elif log.contexts is not None and by in columns:
            values = log.contexts[by]
        else:
            known = [*map(str, columns), "decision_date"]
            raise EvaluationError(f"no column {by!r} in the contexts", hint=did_you_mean(by, known))
    array = np.asarray(values)
    if array.shape != (len(log),):
        what = f"segments must be {len(log)} labels, and have shape {array.shape}"
        raise EvaluationError(what, hint=hint)
    codes, seen = pd.factorize(pd.Series(array), sort=True)
    found = list(seen)
    if (codes < 0).any():
        codes, found = np.where(codes < 0, len(found), codes), [*found, "(missing)"]
    if len(found) > MOST_SEGMENTS:
        what = f"{len(found):,} segments are more than {MOST_SEGMENTS:,}"
        raise EvaluationError(what, hint="group values, or cut numbers")
    return codes, found


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
        model_skill=None if np.isnan(skill) or not used.needs_model else skill,
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
