"""Estimators of a policy's value: each one turns a log into one contribution per row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from policies.errors import EvaluationError, did_you_mean
from policies.logged import Bools, Floats, Ints, LoggedDecisions

SUMS_TO_ONE = 1e-6


@dataclass(frozen=True, eq=False)
class Batch:
    """What an estimator sees of n logged rows: the log, the target, and a reward model.

    Symbols used below: A, r, p = action, reward, action_probability of a row; π = target (n, k);
    q = expected_reward (n, k); w = π(A) / p.
    """

    action: Ints
    action_probability: Floats
    reward: Floats
    eligible: Bools
    target: Floats
    expected_reward: Floats | None = None

    @cached_property
    def weight(self) -> Floats:
        """(n,) importance weights w = π(A) / p."""
        return self.at_action(self.target) / self.action_probability

    def at_action(self, values: Floats) -> Floats:
        """(n,) the entries of an (n, k) array at the logged actions."""
        return np.asarray(values[np.arange(len(self.action)), self.action])

    @property
    def model(self) -> Floats:
        """The reward model's predictions (n, k).

        Raises:
            EvaluationError: when none were given.
        """
        if self.expected_reward is None:
            raise EvaluationError(
                "this estimator needs expected_reward, the predictions of a reward model",
                hint="pass expected_reward=cross_fit(log)",
            )
        return self.expected_reward


class Estimator(ABC):
    """One way to estimate a value; its one duty is the contributions.

    Attributes:
        name: how `estimators=` calls it.
        needs_model: whether expected_reward must be given.
        unbiased: whether each row's contribution has that row's value as its mean, whatever
            happened before: what the intervals `bernstein` and `sequence` rest on.
    """

    name: ClassVar[str]
    needs_model: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False

    @abstractmethod
    def contributions(self, batch: Batch) -> Floats:
        """(n,) in reward units; their mean is the estimate."""

    def __repr__(self) -> str:
        """How it would be written."""
        return f"{type(self).__name__}()"


class IPS(Estimator):
    """Inverse probability scoring: w·r.

    Unbiased when p is right and positive wherever π is. Fails when weights are large: few rows
    then carry the estimate (see effective_n). Source: Horvitz & Thompson (1952).
    """

    name = "ips"
    unbiased = True

    def contributions(self, batch: Batch) -> Floats:
        """w·r, (n,)."""
        return batch.weight * batch.reward


class SNIPS(Estimator):
    """Self-normalised IPS: v = Σ w·r / Σ w, linearised as v + w·(r − v) / mean(w).

    Adding a constant to all rewards moves it by that constant; its bias falls as 1/n. Fails when
    there are few rows or none with weight. Source: Swaminathan & Joachims (2015).
    """

    name = "snips"

    def contributions(self, batch: Batch) -> Floats:
        """The linearised terms, (n,); their mean is the ratio itself."""
        weight = batch.weight
        total = weight.sum()
        if total <= 0:
            return np.full(len(weight), np.nan)
        value = weight @ batch.reward / total
        terms: Floats = value + weight * (batch.reward - value) * (len(weight) / total)
        return terms


class DM(Estimator):
    """Direct method: Σ_a π(a)·q(a).

    As good as the reward model: its error is a bias that no interval shows. Source: Dudík,
    Langford & Li (2011).
    """

    name = "dm"
    needs_model = True

    def contributions(self, batch: Batch) -> Floats:
        """Σ_a π(a)·q(a), (n,)."""
        return np.asarray(np.einsum("nk,nk->n", batch.target, batch.model))


class DR(Estimator):
    """Doubly robust: Σ_a π(a)·q(a) + w·(r − q(A)).

    Unbiased when p is right and q was made without this row; less variable than IPS as far as q is
    good. Fails like IPS when weights are large and q is poor. Source: Dudík, Langford & Li (2011).
    """

    name = "dr"
    needs_model = True
    unbiased = True

    def contributions(self, batch: Batch) -> Floats:
        """Σ_a π(a)·q(a) + w·(r − q(A)), (n,)."""
        direct = np.einsum("nk,nk->n", batch.target, batch.model)
        corrected: Floats = direct + batch.weight * (batch.reward - batch.at_action(batch.model))
        return corrected


ESTIMATORS: dict[str, type[Estimator]] = {each.name: each for each in (IPS, SNIPS, DM, DR)}


def as_estimator(named: str | Estimator) -> Estimator:
    """The estimator of this name, or the instance itself.

    Raises:
        EvaluationError: for a name that is not in ESTIMATORS.
    """
    if isinstance(named, Estimator):
        return named
    if named not in ESTIMATORS:
        raise EvaluationError(
            f"no estimator is called {named!r}", hint=did_you_mean(str(named), ESTIMATORS)
        )
    return ESTIMATORS[named]()


def as_estimators(named: str | Estimator | Iterable[str | Estimator]) -> list[Estimator]:
    """The estimators of these names and instances."""
    several = [named] if isinstance(named, (str, Estimator)) else named
    return [as_estimator(each) for each in several]


def batch_of(log: LoggedDecisions, target: Any, expected_reward: Any = None) -> Batch:
    """The log as estimators see it, with a target policy or (n, k) array and its predictions.

    Raises:
        EvaluationError: the target is no distribution over the eligible actions, or predictions are
            not n × k finite numbers.
    """
    return Batch(
        action=log.action,
        action_probability=log.action_probability,
        reward=log.reward,
        eligible=log.eligible,
        target=as_target(log, target),
        expected_reward=None if expected_reward is None else _model(log, expected_reward),
    )


def as_target(log: LoggedDecisions, target: Any) -> Floats:
    """(n, k) what a policy, or an array, would do on each logged row; exactly 1 on forced rows.

    Raises:
        EvaluationError: wrong shape, rows that do not sum to 1, or mass where not eligible.
    """
    known = getattr(target, "action_ids", log.action_ids)
    if tuple(known) != log.action_ids:
        raise EvaluationError(
            f"the policy's actions {tuple(known)} are not the log's {log.action_ids}",
            hint="give both the same action_ids, in the same order",
        )
    if hasattr(target, "distribution"):
        target = target.distribution(log.contexts, log.eligible)
    array = _shaped(log, target, "the target")
    proper = (array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) <= SUMS_TO_ONE)
    _every(proper, "a target's rows must be non-negative and sum to 1")
    _every(~((array > 0) & ~log.eligible).any(axis=1), "a target must be 0 where not eligible")
    return np.where(log.choice[:, None], array, log.eligible)


def _model(log: LoggedDecisions, expected_reward: Any) -> Floats:
    array = _shaped(log, expected_reward, "expected_reward")
    _every(np.isfinite(array).all(axis=1), "expected_reward must be finite")
    return array


def _shaped(log: LoggedDecisions, values: Any, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (len(log), log.n_actions):
        raise EvaluationError(
            f"{what} must have shape {(len(log), log.n_actions)}, and has {array.shape}",
            hint="one row per logged decision, one column per action_ids entry",
        )
    return array


def _every(holds: Any, rule: str) -> None:
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
