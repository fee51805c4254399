"""What an estimator sees of a log: five columns, reduced block by block from n × k arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from policies.errors import EvaluationError
from policies.logged import Bools, Floats, LoggedDecisions

SUMS_TO_ONE = 1e-6
BLOCK = 16_384  # rows reduced at once: a block of a few actions stays in the processor's cache


@dataclass(frozen=True, eq=False)
class Batch:
    """n logged rows, a target and a reward model, as columns (n,).

    Symbols used by the estimators: r = reward, p = action_probability, π = target, A = the logged
    action, q = reward model, w = π(A) / p.

    Attributes:
        reward: r.
        action_probability: p.
        chosen: π(A).
        predicted: q(A); None without a reward model.
        direct: Σ_a π(a)·q(a); None without a reward model.
    """

    reward: Floats
    action_probability: Floats
    chosen: Floats
    predicted: Floats | None = None
    direct: Floats | None = None

    def __len__(self) -> int:
        """How many rows: n."""
        return len(self.reward)

    @cached_property
    def weight(self) -> Floats:
        """(n,) importance weights w = π(A) / p."""
        return self.chosen / self.action_probability

    @property
    def model(self) -> tuple[Floats, Floats]:
        """(n,) Σ_a π(a)·q(a), and (n,) r − q(A).

        Raises:
            EvaluationError: there is no reward model.
        """
        if self.direct is None or self.predicted is None:
            raise _no_model()
        return self.direct, self.reward - self.predicted


def batch_of(log: LoggedDecisions, target: Any, expected_reward: Any = None) -> Batch:
    """The log as estimators see it, with a target policy or (n, k) array and its predictions.

    A policy is asked block by block, so its n × k distribution never stands in memory whole.

    Raises:
        EvaluationError: the target is no distribution over the eligible actions, predictions are
            not n × k finite numbers, or the log's action probabilities are not known.
    """
    require_probabilities(log)
    n, model = len(log), None
    if expected_reward is not None:
        model = _shaped(log, expected_reward, "expected_reward")
    chosen = np.empty(n)
    predicted, direct = (None, None) if model is None else (np.empty(n), np.empty(n))
    for rows, part in _target_blocks(log, target):
        flat = np.arange(len(part)) * log.n_actions + log.action[rows]
        part.take(flat, out=chosen[rows])
        if model is not None:
            block = np.ascontiguousarray(model[rows])
            if not np.isfinite(block.sum()):
                _check_finite(model)
            block.take(flat, out=predicted[rows])  # type: ignore[index]
            np.einsum("nk,nk->n", part, block, out=direct[rows])  # type: ignore[index]
    return Batch(log.reward, log.action_probability, chosen, predicted, direct)


def as_target(log: LoggedDecisions, target: Any) -> Floats:
    """(n, k) what a policy, or an array, would do on each logged row; exactly 1 on forced rows.

    Raises:
        EvaluationError: wrong shape, rows that do not sum to 1, or mass where not eligible.
    """
    whole = np.empty((len(log), log.n_actions))
    for rows, part in _target_blocks(log, target):
        whole[rows] = part
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
    """Refuse a log whose action probabilities nobody knows.

    Raises:
        EvaluationError: when they were not given.
    """
    if log.probabilities == "unknown":
        raise EvaluationError(
            "the log has no action probabilities",
            hint="estimate them: log = estimate_probabilities(log); results are then flagged",
        )


def _target_blocks(log: LoggedDecisions, target: Any) -> Iterator[tuple[slice, Floats]]:
    """Each block's rows and its checked (rows, k) target."""
    known = getattr(target, "action_ids", log.action_ids)
    if tuple(known) != log.action_ids:
        raise EvaluationError(
            f"the policy's actions {tuple(known)} are not the log's {log.action_ids}",
            hint="give both the same action_ids, in the same order",
        )
    asked = hasattr(target, "distribution")
    array = None if asked else _shaped(log, target, "the target")
    ones = np.ones(log.n_actions)
    for start in range(0, len(log), BLOCK):
        rows = slice(start, min(start + BLOCK, len(log)))
        eligible = log.eligible[rows]
        if array is None:
            contexts = None if log.contexts is None else log.contexts.iloc[rows]
            part = np.asarray(target.distribution(contexts, eligible), dtype=np.float64)
        else:
            part = np.ascontiguousarray(array[rows])
        if not (part.min() >= 0 and np.abs(part @ ones - 1).max() <= SUMS_TO_ONE):
            _check_sums(part if array is None else array)
        if not eligible.all():
            if part[~eligible].any():
                _check_mass(*((part, eligible) if array is None else (array, log.eligible)))
            part = np.where(log.choice[rows, None], part, eligible)
        yield rows, part


def _no_model() -> EvaluationError:
    return EvaluationError(
        "this estimator needs expected_reward, the predictions of a reward model",
        hint="pass expected_reward=cross_fit(log)",
    )


def _check_finite(array: Floats) -> None:
    every(np.isfinite(array).all(axis=1), "expected_reward must be finite")


def _check_sums(array: Floats) -> None:
    proper = (array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) <= SUMS_TO_ONE)
    every(proper, "a target's rows must be non-negative and sum to 1")


def _check_mass(array: Floats, eligible: Bools) -> None:
    every(~((array != 0) & ~eligible).any(axis=1), "a target must be 0 where not eligible")


def _shaped(log: LoggedDecisions, values: Any, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (len(log), log.n_actions):
        raise EvaluationError(
            f"{what} must have shape {(len(log), log.n_actions)}, and has {array.shape}",
            hint="one row per logged decision, one column per action_ids entry",
        )
    return array


def every(holds: Any, rule: str) -> None:
    """Raise EvaluationError, naming the first rows, unless the rule holds in every row."""
    if not holds.all():
        rows = np.flatnonzero(~holds)
        first = ", ".join(str(row) for row in rows[:5])
        raise EvaluationError(
            f"{rule}: {len(rows)} of {len(holds)} rows break it", where=f"rows {first}"
        )


def effective_size(weight: Floats) -> float:
    """How many equally weighted rows say as much: (Σ w)² / Σ w² (Kish 1965); 0 without weight."""
    square = float(weight @ weight)
    return float(weight.sum()) ** 2 / square if square else 0.0
