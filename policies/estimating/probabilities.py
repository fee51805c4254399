"""Action probabilities for logs that have none, or wrong ones: estimated, and flagged as such."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from policies.encoder import Encoder
from policies.errors import EvaluationError, require_known
from policies.estimating.arguments import check_folds, check_seed, number
from policies.estimating.regressions import FEW
from policies.estimating.reward_model import customer_folds
from policies.log import Bools, Floats, Ints, LoggedDecisions

MODELS = ("logistic", "boosted")
LEAST = 1e-6  # of a classifier's probability, before it is calibrated


def estimate_probabilities(
    log: LoggedDecisions,
    *,
    model: str = "logistic",
    folds: int = 5,
    seed: int = 0,
    floor: float = 0.01,
) -> LoggedDecisions:
    """The log with estimated action probabilities: cross-fitted, calibrated, and flagged.

    A classifier of the logged action, fitted on the other folds (a customer's rows staying
    together), gives log-probabilities L(a | x); a softmax of t·L(a | x) + b(a) over the eligible
    actions, with t and b fitted by maximum likelihood on all rows, calibrates them (Guo et al. 2017): each
    action's probabilities then add up to its rows. Whatever the logger looked at must be in the
    contexts; what it saw and they do not show, biases every estimate, and no interval knows it. So
    evaluations of such a log say probabilities="estimated", and the gate refuses it.

    Args:
        log: its own action_probability and distribution, if any, are not used.
        model: "logistic", or "boosted" for loggers with thresholds and interactions.
        folds, seed: of the cross-fitting.
        floor: least probability of an eligible action, or a tenth of the action's share of choices
            where that is less; 0 leaves estimates as they are.

    Raises:
        EvaluationError: an unknown model, fewer than 2 folds, a bad seed, a floor that does not fit,
            or no rows.
    """
    require_known(model, MODELS, EvaluationError, f"no model of the logger is called {model!r}")
    check_folds(folds)
    check_seed(seed)
    if not isinstance(log, LoggedDecisions) or not len(log):
        raise EvaluationError(
            "estimating probabilities needs LoggedDecisions with rows",
            hint="LoggedDecisions.from_frame(frame, action_probability=None, …)",
        )
    floor = number("floor", floor)
    most = int(log.eligible.sum(axis=1).max())
    if not 0 <= floor * most <= 1:
        raise EvaluationError(
            f"a floor of {floor:g} for {most} eligible actions is no distribution",
            hint=f"at most {1 / most:.3f}",
        )
    choice = log.choice
    distribution = log.eligible.astype(np.float64)
    if choice.any():
        free = log[choice]  # forced rows teach nothing
        scores = _cross_fitted(free, model, folds, seed)
        share = np.bincount(free.action, minlength=log.n_actions) / len(free)
        least = free.eligible * np.minimum(floor, share / 10)
        made = np.maximum(_calibrated(scores, free.eligible, free.action), least)
        distribution[choice] = made / made.sum(axis=1, keepdims=True)
    return replace(
        log,
        distribution=distribution,
        action_probability=distribution[np.arange(len(log)), log.action],
        probabilities="estimated",
    )


def _cross_fitted(log: LoggedDecisions, model: str, folds: int, seed: int) -> Floats:
    """(n, k) log-probabilities of each action, by a classifier that never saw the row."""
    scores = np.zeros((len(log), log.n_actions))
    if log.contexts is None or not len(log.contexts.columns):
        return scores
    fold = customer_folds(log, folds, seed)
    design = Encoder.fit(log.contexts).matrix(log.contexts)
    for held_out in range(folds):
        rows, others = np.flatnonzero(fold == held_out), np.flatnonzero(fold != held_out)
        seen = np.unique(log.action[others])
        if not len(rows) or len(seen) < 2:
            continue
        classifier = _classifier(model, log.action[others], seed)
        classifier.fit(design[others], log.action[others])
        probability = np.full((len(rows), log.n_actions), LEAST)
        probability[:, seen] = np.maximum(classifier.predict_proba(design[rows]), LEAST)
        scores[rows] = np.log(probability)
    return scores


def _classifier(model: str, action: Ints, seed: int) -> Any:
    """A classifier of actions; trees stop early where every action has rows to spare for that."""
    # Imported where they are used: most programs that import this package never fit one.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if model == "logistic":
        return LogisticRegression(max_iter=300)
    counts = np.bincount(action)
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_leaf_nodes=8,
        early_stopping=int(counts[counts > 0].min()) >= FEW,
        random_state=seed,
    )


def _calibrated(scores: Floats, eligible: Bools, action: Ints) -> Floats:
    """(n, k) softmax of t·scores + b over the eligible actions, t and b by maximum likelihood."""
    from scipy import optimize

    n, k = scores.shape
    barred = np.where(eligible, 0.0, -np.inf)
    drawn = np.eye(k)[action]

    def softmax(parameters: Floats) -> Floats:
        return np.asarray(special.softmax(parameters[0] * scores + parameters[1:] + barred, axis=1))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        probability = softmax(parameters)
        away = probability - drawn
        picked = np.maximum(probability[np.arange(n), action], LEAST)
        gradient = np.concatenate([[float((away * scores).sum())], away.sum(axis=0)])
        return -float(np.log(picked).mean()), gradient / n

    start = np.concatenate([[1.0], np.zeros(k)])
    return softmax(optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x)
