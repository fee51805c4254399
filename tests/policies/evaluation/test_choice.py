"""The automatic choice: it shrinks where that helps, and does not where it would bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.evaluation.batch import Batch, batch_of
from policies.evaluation.choice import Auto
from policies.evaluation.estimators import DM, DR, IPS, SNIPS
from policies.evaluation.value import compare, evaluate


def drawn(seed: int, bias: float, n: int = 1_000) -> Batch:
    """Rows with heavy weights, whose reward model is off by `bias`; the true value is .5."""
    rng = np.random.default_rng(seed)
    p = 0.01
    hit = rng.random(n) < p
    reward = (rng.random(n) < 0.5).astype(float)
    drawn_with, model = np.where(hit, p, 1 - p), np.full(n, 0.5 + bias)
    return Batch(reward, drawn_with, hit / drawn_with, model, reward - model)


def test_a_good_model_is_leant_on_and_a_bad_one_is_not() -> None:
    """With a good model `auto` is far closer than DR; with a bad one it is not far from DR."""
    errors: dict[tuple[float, str], list[float]] = {}
    for bias in (0.0, 0.5):
        for seed in range(200):
            batch = drawn(seed, bias)
            for estimator in (Auto(), DR(), DM()):
                errors.setdefault((bias, estimator.name), []).append(
                    estimator.contributions(batch).mean() - 0.5
                )
    root = {key: float(np.sqrt(np.mean(np.square(each)))) for key, each in errors.items()}
    assert root[0.0, "auto"] < 0.7 * root[0.0, "dr"]
    assert root[0.5, "auto"] < 1.3 * root[0.5, "dr"] < root[0.5, "dm"]


def test_the_risk_by_hand() -> None:
    """The member with the least variance + max(b² − s², s²/2) is chosen, by hand-made rows."""
    w = np.array([4.0, 0.0, 0.0, 0.0] * 50)
    r = np.array([1.0, 1.0, 1.0, 1.0] * 50)
    batch = Batch(r, np.ones(200), w)
    # IPS: mean 1, variance 3; SNIPS: every linearised term is 1, so variance and bias are 0
    assert repr(Auto().resolved(batch)) == "SNIPS()"
    assert repr(Auto([IPS(), IPS()]).resolved(batch)) == "IPS()"


def test_it_never_reads_the_truth(contextual: Any) -> None:
    """The choice is a function of the batch alone, and evaluate says what it was."""
    log, target, means = contextual(2, 600)
    frame = evaluate(log, target, estimators=["auto", "dr"], expected_reward=means)
    chosen = Auto().resolved(batch_of(log, target, means))
    assert frame.attrs["auto"] == repr(chosen)
    assert frame.loc["auto", "value"] == pytest.approx(
        chosen.contributions(batch_of(log, target, means)).mean()
    )
    assert evaluate(log, target, estimators="auto").attrs["auto"]


def test_a_pair_shares_one_choice(contextual: Any) -> None:
    """Both sides of a comparison are valued by the same estimator, chosen for their difference."""
    log, target, means = contextual(3, 600)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    found = compare(
        log, target, uniform, estimator="auto", expected_reward=means, interval="normal"
    )
    ours, theirs = batch_of(log, target, means), batch_of(log, uniform, means)
    chosen = Auto().resolved(ours, theirs)
    values = chosen.contributions(ours) - chosen.contributions(theirs)
    assert found.difference == pytest.approx(np.where(log.choice, values, 0.0).mean())
    assert found.std_error == pytest.approx(
        compare(log, target, uniform, expected_reward=means, interval="normal").std_error
    )


@pytest.mark.parametrize("interval", ["normal", "sequence"])
def test_choosing_makes_nothing_surer(contextual: Any, interval: str) -> None:
    """The interval of `auto` is that of the unbiased member, here DR, whatever was chosen."""
    log, target, means = contextual(4, 800)
    frame = evaluate(
        log, target, estimators=["auto", "dr"], expected_reward=means, interval=interval
    )
    assert frame.attrs["auto"] != "DR()"
    columns = ["std_error", "low", "high"]
    assert frame.loc["auto", columns].equals(frame.loc["dr", columns].rename("auto"))
    assert frame.loc["auto", "value"] != frame.loc["dr", "value"]


def test_a_pool_starts_unbiased() -> None:
    """A pool whose first member is biased has nothing to measure bias against."""
    with pytest.raises(EvaluationError, match="unbiased"):
        Auto([SNIPS(), IPS()])
