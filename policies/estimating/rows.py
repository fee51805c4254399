"""What an estimator sees of a log: five columns, reduced block by block from n × k arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from policies.columns import by_action, require
from policies.errors import EvaluationError
from policies.estimating.blocks import block_rows, map_blocks
from policies.log import Bools, Floats, Ints, LoggedDecisions

SUMS_TO_ONE = 1e-6
LEAST_SUM, MOST_SUM = 1 - SUMS_TO_ONE, 1 + SUMS_TO_ONE


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
        unsupported: the target's share on actions that the logger never draws there; None where
            there are no such actions.
    """

    reward: Floats
    action_probability: Floats
    weight: Floats
    direct: Floats | None = None
    residual: Floats | None = None
    unsupported: Floats | None = None

    def __len__(self) -> int:
        """How many rows: n."""
        return len(self.reward)

    def __getitem__(self, rows: Bools | Ints | slice) -> EvaluationRows:
        """These rows only."""
        columns = vars(self).values()
        picked: list[Any] = [None if column is None else column[rows] for column in columns]
        return EvaluationRows(*picked)

    @property
    def target_probability(self) -> Floats:
        """(n,) π(A)."""
        return self.weight * self.action_probability

    @property
    def unsupported_share(self) -> float:
        """Mean of `unsupported`."""
        return 0.0 if self.unsupported is None else float(self.unsupported.sum()) / len(self)

    @property
    def model(self) -> tuple[Floats, Floats]:
        """Direct and residual.

        Raises:
            EvaluationError: there is no reward model.
        """
        if self.direct is None or self.residual is None:
            raise _no_model()
        return self.direct, self.residual


def evaluation_rows(
    log: LoggedDecisions, target: Any, expected_reward: Any = None
) -> EvaluationRows:
    """The log as estimators see it, with a target policy or (n, k) array and its predictions.

    A policy is called block by block, so its n × k distribution is never in memory whole.

    Raises:
        EvaluationError: the target is no distribution over the eligible actions, predictions are
            not n × k finite numbers, or the log's action probabilities are not known.
    """
    require_probabilities(log)
    read = RowReader(log, target, expected_reward)
    names = ["weight"]
    names += ["direct", "residual"] if expected_reward is not None else []
    names += ["unsupported"] if log.never_drawn is not None else []
    columns = {name: np.empty(len(log)) for name in names}

    def fill(block: slice) -> None:
        rows = read(block)
        for name, column in columns.items():
            column[block] = getattr(rows, name)

    map_blocks(fill, len(log), block_rows(log.n_actions), alone=read.alone)
    return EvaluationRows(log.reward, log.action_probability, **columns)


class RowReader:
    """Gives any block of at most `block_rows` rows of a log as EvaluationRows, checked on the way.

    Attributes:
        alone: whether only one thread at a time may read: policies may keep state.

    Args:
        log: with action probabilities, see `require_probabilities`.
        target: a policy, or an (n, k) array.
        expected_reward: (n, k) predictions.

    Raises:
        EvaluationError: as `evaluation_rows`, at once or when a block is read.
    """

    def __init__(self, log: LoggedDecisions, target: Any, expected_reward: Any = None) -> None:
        if isinstance(target, (str, type)):
            raise EvaluationError(
                f"the target is {target!r}, and must be a policy or an (n, k) array",
                hint="make a policy: FixedAction(log.action_ids, ACTION), or"
                " UniformPolicy(log.action_ids)",
            )
        known = getattr(target, "action_ids", log.action_ids)
        if tuple(known) != log.action_ids:
            raise EvaluationError(
                f"the policy's actions {tuple(known)} are not the log's {log.action_ids}",
                hint="give both the same action_ids, in the same order",
            )
        self._log, self._target, self._model = log, target, None
        self.alone = hasattr(target, "distribution")
        if not self.alone:
            self._target = _shaped(log, target, "the target")
        if expected_reward is not None:
            self._model = _shaped(log, expected_reward, "expected_reward")
        self._starts = np.arange(block_rows(log.n_actions)) * log.n_actions

    def target(self, block: slice) -> Floats:
        """(rows, k) the target of a block; exactly 1 on forced rows."""
        log, eligible = self._log, self._log.eligible[block]
        if self.alone:
            contexts = None if log.contexts is None else log.contexts.iloc[block]
            answer = self._target.distribution(contexts, eligible)
            part = _shaped(log, answer, "a policy's distribution", block)
        else:
            part = self._target[block]
        part, free = np.ascontiguousarray(part), eligible.all()
        sums = np.einsum("nk->n", part)
        proper = part.min() >= 0 and sums.min() >= LEAST_SUM and sums.max() <= MOST_SUM
        if not proper or not (free or not part[~eligible].any()):
            if self.alone:
                _check_distribution(part, eligible, block.start)
            else:
                _check_distribution(self._target, log.eligible)
        return part if free else np.where(log.choice[block, None], part, eligible)

    def __call__(self, block: slice) -> EvaluationRows:
        """The rows of a block."""
        log, target = self._log, self.target(block)
        reward, probability = log.reward[block], log.action_probability[block]
        taken = self._starts[: len(target)] + log.action[block]
        weight = target.take(taken, mode="clip")  # all in range; "clip" is the fast mode
        weight /= probability
        direct = residual = unsupported = None
        if self._model is not None:
            model = np.ascontiguousarray(self._model[block])
            direct = np.einsum("nk,nk->n", target, model)
            if not np.isfinite(direct.sum()):  # also where the target is 0: 0·inf is NaN
                _check_finite(self._model)
            residual = model.take(taken, mode="clip")
            np.subtract(reward, residual, out=residual)
        if log.never_drawn is not None:
            unsupported = np.where(log.never_drawn[block], target, 0.0).sum(axis=1)
        return EvaluationRows(reward, probability, weight, direct, residual, unsupported)


def as_target(log: LoggedDecisions, target: Any) -> Floats:
    """(n, k) what a policy, or an array, would do on each logged row; exactly 1 on forced rows.

    Raises:
        EvaluationError: wrong shape, rows that do not sum to 1, or mass where not eligible.
    """
    whole, read = np.empty((len(log), log.n_actions)), RowReader(log, target)

    def fill(block: slice) -> None:
        whole[block] = read.target(block)

    map_blocks(fill, len(log), block_rows(log.n_actions), alone=read.alone)
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
    """Raise unless `log` is a LoggedDecisions with action probabilities.

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


def _check_distribution(target: Floats, eligible: Bools, first: int = 0) -> None:
    """Raise EvaluationError, naming the rows from `first` on, unless all are distributions."""
    proper = (target >= 0).all(axis=1) & (np.abs(target.sum(axis=1) - 1) <= SUMS_TO_ONE)
    rules = {
        "a target's rows must be non-negative and sum to 1": proper,
        "a target must be 0 where not eligible": ~((target != 0) & ~eligible).any(axis=1),
    }
    for rule, holds in rules.items():
        require(holds, rule, error=EvaluationError, start=first)


def _no_model() -> EvaluationError:
    return EvaluationError(
        "this estimator needs expected_reward, the predictions of a reward model",
        hint="pass expected_reward=cross_fit(log)",
    )


def _check_finite(array: Floats) -> None:
    require(np.isfinite(array).all(axis=1), "expected_reward must be finite", error=EvaluationError)


def _shaped(log: LoggedDecisions, values: Any, what: str, rows: slice | None = None) -> Floats:
    """Values of all rows, or of these, as numbers whose rows and columns are the log's."""
    hint = "one row per logged decision, one column per action_ids entry"
    rows = rows or slice(0, len(log))
    n = rows.stop - rows.start
    if isinstance(values, (pd.DataFrame, pd.Series)) and len(values) == n:
        orders = (pd.RangeIndex(n), pd.RangeIndex(rows.start, rows.stop))
        if not any(values.index.equals(order) for order in orders):
            raise EvaluationError(
                f"{what} comes with an index of its own, and its rows may be in another order",
                hint="in the log's order: .to_numpy(), or .reset_index(drop=True)",
            )
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
