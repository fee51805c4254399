"""What an estimator sees of a log: five columns, reduced block by block from n × k arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from policies.columns import by_action
from policies.errors import EvaluationError
from policies.estimating.blocks import block_rows, each_block
from policies.log import Bools, Floats, LoggedDecisions

SUMS_TO_ONE = 1e-6


@dataclass(frozen=True, eq=False)
class EvaluationRows:
    """n logged rows, a target and a reward model, as columns (n,).

    Symbols used by the estimators: r = reward, p = action_probability, π = target, A = the logged
    action, q = reward model, w = π(A) / p.

    Attributes:
        reward: r.
        action_probability: p.
        weight: w.
        direct: Σ_a π(a)·q(a); None without a reward model.
        residual: r − q(A); likewise.
        unsupported: mean share of the target on actions that the logger never draws there.
    """

    reward: Floats
    action_probability: Floats
    weight: Floats
    direct: Floats | None = None
    residual: Floats | None = None
    unsupported: float = 0.0

    def __len__(self) -> int:
        """How many rows: n."""
        return len(self.reward)

    def __getitem__(self, rows: Bools | slice) -> EvaluationRows:
        """These rows only."""
        columns = (self.direct, self.residual)
        direct, residual = (None if each is None else each[rows] for each in columns)
        kept = (self.reward[rows], self.action_probability[rows], self.weight[rows])
        return EvaluationRows(*kept, direct, residual, self.unsupported)

    @property
    def chosen(self) -> Floats:
        """(n,) π(A)."""
        return self.weight * self.action_probability

    @property
    def model(self) -> tuple[Floats, Floats]:
        """Direct and residual.

        Raises:
            EvaluationError: there is no reward model.
        """
        if self.direct is None or self.residual is None:
            raise _no_model()
        return self.direct, self.residual


def batch_of(log: LoggedDecisions, target: Any, expected_reward: Any = None) -> EvaluationRows:
    """The log as estimators see it, with a target policy or (n, k) array and its predictions.

    A policy is asked block by block, so its n × k distribution never stands in memory whole.

    Raises:
        EvaluationError: the target is no distribution over the eligible actions, predictions are
            not n × k finite numbers, or the log's action probabilities are not known.
    """
    n, size = len(log), block_rows(log.n_actions)
    read, alone = reader(log, target, expected_reward)
    modelled = expected_reward is not None
    columns = [np.empty(n) for _ in range(3 if modelled else 1)]
    outside = np.zeros(n // size + 1)

    def fill(rows: slice) -> None:
        part = read(rows)
        for column, values in zip(columns, (part.weight, part.direct, part.residual)):
            column[rows] = values
        outside[rows.start // size] = part.unsupported * len(part)

    each_block(n, size, fill, alone=alone)
    unsupported = float(outside.sum()) / max(n, 1)
    batch = EvaluationRows(log.reward, log.action_probability, columns[0], unsupported=unsupported)
    return replace(batch, direct=columns[1], residual=columns[2]) if modelled else batch


def reader(
    log: LoggedDecisions, target: Any, expected_reward: Any = None
) -> tuple[Callable[[slice], EvaluationRows], bool]:
    """A function that gives a block of at most `block_rows` rows as a batch, checked on the way.

    With it, whether only one thread at a time may call it.

    Raises:
        EvaluationError: as `batch_of`, at once or when a block is read.
    """
    require_probabilities(log)
    model = None if expected_reward is None else _shaped(log, expected_reward, "expected_reward")
    k, never = log.n_actions, log.never_drawn
    starts = np.arange(block_rows(k)) * k
    asked, alone = _asked(log, target)

    def read(rows: slice) -> EvaluationRows:
        part = asked(rows)
        at = starts[: len(part)] + log.action[rows]
        weight = part.take(at, mode="clip")  # all in range; "clip" is the fast mode
        weight /= log.action_probability[rows]
        direct = residual = None
        if model is not None:
            block = np.ascontiguousarray(model[rows])
            direct = np.einsum("nk,nk->n", part, block)
            if not np.isfinite(direct.sum()):  # also where the target is 0: 0·inf is NaN
                _check_finite(model)
            residual = block.take(at, mode="clip")
            np.subtract(log.reward[rows], residual, out=residual)
        unseen = 0.0 if never is None else float(part[never[rows]].sum()) / len(part)
        known = (log.reward[rows], log.action_probability[rows])
        return EvaluationRows(*known, weight, direct, residual, unseen)

    return read, alone


def as_target(log: LoggedDecisions, target: Any) -> Floats:
    """(n, k) what a policy, or an array, would do on each logged row; exactly 1 on forced rows.

    Raises:
        EvaluationError: wrong shape, rows that do not sum to 1, or mass where not eligible.
    """
    whole = np.empty((len(log), log.n_actions))
    asked, alone = _asked(log, target)

    def fill(rows: slice) -> None:
        whole[rows] = asked(rows)

    each_block(len(log), block_rows(log.n_actions), fill, alone=alone)
    return whole


def as_model(log: LoggedDecisions, expected_reward: Any) -> Floats:
    """(n, k) checked predictions of a reward model.

    Raises:
        EvaluationError: there are none, or they are not n × k finite numbers.
    """
    if expected_reward is None:
        raise _no_model()
    array = _shaped(log, expected_reward, "expected_reward")
    _check_finite(array)
    return array


def require_probabilities(log: LoggedDecisions) -> None:
    """Refuse what is no log, or one whose action probabilities nobody knows.

    Raises:
        EvaluationError: no log, or no probabilities.
    """
    if not isinstance(log, LoggedDecisions):
        raise EvaluationError(
            f"the log is a {type(log).__name__}, and must be LoggedDecisions",
            hint="LoggedDecisions.from_frame(frame, …) makes one; the log is the first argument",
        )
    if log.probabilities == "unknown":
        raise EvaluationError(
            "the log has no action probabilities",
            hint="estimate them: log = estimate_probabilities(log); results are then flagged",
        )


def _asked(log: LoggedDecisions, target: Any) -> tuple[Callable[[slice], Floats], bool]:
    """A function that gives a block's checked (rows, k) target, and whether only one may call it.

    A policy is asked block by block, and by one thread only: nobody knows what it keeps.
    """
    if isinstance(target, (str, type)):
        raise EvaluationError(
            f"the target is {target!r}, and must be a policy or an (n, k) array",
            hint="make a policy: FixedAction(log.action_ids, ACTION), UniformPolicy(log.action_ids)",
        )
    known = getattr(target, "action_ids", log.action_ids)
    if tuple(known) != log.action_ids:
        raise EvaluationError(
            f"the policy's actions {tuple(known)} are not the log's {log.action_ids}",
            hint="give both the same action_ids, in the same order",
        )
    _ = log.choice  # made once, before any thread needs it
    if not hasattr(target, "distribution"):
        whole = _shaped(log, target, "the target")
        return (
            lambda rows: _checked(
                log, rows, np.ascontiguousarray(whole[rows]), whole, log.eligible
            ),
            False,
        )

    def answer(rows: slice) -> Floats:
        contexts = None if log.contexts is None else log.contexts.iloc[rows]
        given = target.distribution(contexts, log.eligible[rows])
        part = np.ascontiguousarray(_shaped(log, given, "a policy's distribution", rows))
        return _checked(log, rows, part, part, log.eligible[rows])

    return answer, True


def _checked(
    log: LoggedDecisions, rows: slice, part: Floats, whole: Floats, allowed: Bools
) -> Floats:
    """A block of a target, forced rows set to 1; errors name rows of `whole`."""
    eligible = log.eligible[rows]
    sums = np.einsum("nk->n", part)
    least, most = 1 - SUMS_TO_ONE, 1 + SUMS_TO_ONE
    if not (part.min() >= 0 and sums.min() >= least and sums.max() <= most):
        proper = (whole >= 0).all(axis=1) & (np.abs(whole.sum(axis=1) - 1) <= SUMS_TO_ONE)
        every(proper, "a target's rows must be non-negative and sum to 1")
    if eligible.all():
        return part
    if part[~eligible].any():
        every(~((whole != 0) & ~allowed).any(axis=1), "a target must be 0 where not eligible")
    return np.where(log.choice[rows, None], part, eligible)


def _no_model() -> EvaluationError:
    return EvaluationError(
        "this estimator needs expected_reward, the predictions of a reward model",
        hint="pass expected_reward=cross_fit(log)",
    )


def _check_finite(array: Floats) -> None:
    every(np.isfinite(array).all(axis=1), "expected_reward must be finite")


def _shaped(log: LoggedDecisions, values: Any, what: str, rows: slice | None = None) -> Floats:
    """Values of all rows, or of these, as numbers whose rows and columns are the log's."""
    hint = "one row per logged decision, one column per action_ids entry"
    n = len(log) if rows is None else rows.stop - rows.start
    if isinstance(values, (pd.DataFrame, pd.Series)):
        _in_order(values, what, n, 0 if rows is None else rows.start)
    values = by_action(values, log.action_ids, what, EvaluationError)
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{what} cannot be read as numbers: {error}", hint=hint) from error
    if array.shape != (n, log.n_actions):
        raise EvaluationError(
            f"{what} must have shape {(n, log.n_actions)}, and has {array.shape}", hint=hint
        )
    return array


def _in_order(values: Any, what: str, n: int, start: int) -> None:
    """Refuse a frame whose index says that its n rows may not be the log's, in the log's order."""
    orders = (pd.RangeIndex(n), pd.RangeIndex(start, start + n))
    if len(values) == n and not any(values.index.equals(each) for each in orders):
        raise EvaluationError(
            f"{what} comes with an index of its own, and its rows may be in another order",
            hint="in the log's order: .to_numpy(), or .reset_index(drop=True)",
        )


def every(holds: Any, rule: str) -> None:
    """Raise EvaluationError, naming the first rows, unless the rule holds in every row."""
    if not holds.all():
        rows = np.flatnonzero(~holds)
        first = ", ".join(str(row) for row in rows[:5])
        more = ", …" if len(rows) > 5 else ""
        raise EvaluationError(
            f"{rule}: {len(rows)} of {len(holds)} rows break it", where=f"rows {first}{more}"
        )


def number(name: str, value: Any) -> float:
    """The value of an argument, when it is a number.

    Raises:
        EvaluationError: it is a text, None, or something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise EvaluationError(f"{name} must be a number, not {value!r}", hint="5 % is 0.05")
    return float(value)


def check_seed(seed: Any) -> None:
    """Refuse what seeds nothing.

    Raises:
        EvaluationError: not a whole number from 0 to 2³² − 1.
    """
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not (whole and 0 <= seed < 2**32):
        raise EvaluationError(
            f"seed must be a whole number, not {seed!r}", hint="0 is as good as any below 2**32"
        )


def effective_size(weight: Floats) -> float:
    """How many equally weighted rows say as much: (Σ w)² / Σ w² (Kish 1965); 0 without weight."""
    square = float(weight @ weight)
    return float(weight.sum()) ** 2 / square if square else 0.0
