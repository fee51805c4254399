"""The automatic choice: it shrinks where that helps, and does not where it would bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.estimating.auto import Auto, _pool, _sums
from policies.estimating.estimators import (
    DM,
    DR,
    IPS,
    IX,
    LS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    SubGaussianIPS,
    SwitchDR,
)
from policies.estimating.rows import EvaluationRows, evaluation_rows
from policies.estimating.summing import row_contributions
from policies.estimating.sums import Parts
from policies.judging.values import compare, evaluate

SHRUNK = (ClippedIPS, SwitchDR, DRos, SubGaussianIPS, IX, LS)


def drawn(seed: int, bias: float, n: int = 1_000) -> EvaluationRows:
    """Rows with heavy weights, whose reward model is off by `bias`; the true value is .5."""
    rng = np.random.default_rng(seed)
    p = 0.01
    hit = rng.random(n) < p
    reward = (rng.random(n) < 0.5).astype(float)
    drawn_with, model = np.where(hit, p, 1 - p), np.full(n, 0.5 + bias)
    return EvaluationRows(reward, drawn_with, hit / drawn_with, model, reward - model)


def test_a_good_model_is_leant_on_and_a_bad_one_is_not() -> None:
    """With a good model `auto` is far closer than DR; with a bad one it is not far from DR."""
    errors: dict[tuple[float, str], list[float]] = {}
    for bias in (0.0, 0.5):
        for seed in range(200):
            batch = drawn(seed, bias)
            for estimator in (Auto(), DR(), DM()):
                errors.setdefault((bias, estimator.name), []).append(
                    row_contributions(estimator, batch).mean() - 0.5
                )
    root = {key: float(np.sqrt(np.mean(np.square(each)))) for key, each in errors.items()}
    assert root[0.0, "auto"] < 0.7 * root[0.0, "dr"]
    assert root[0.5, "auto"] < 1.3 * root[0.5, "dr"] < root[0.5, "dm"]


def test_the_risk_by_hand() -> None:
    """The member with the least variance + max(b² − s², s²/2) is chosen, by hand-made rows."""
    w = np.array([4.0, 0.0, 0.0, 0.0] * 50)
    r = np.array([1.0, 1.0, 1.0, 1.0] * 50)
    batch = EvaluationRows(r, np.ones(200), w)
    # IPS: mean 1, variance 3; SNIPS: every linearised term is 1, so variance and bias are 0
    assert repr(Auto().chosen(batch)) == "SNIPS()"
    assert repr(Auto([IPS(), IPS()]).chosen(batch)) == "IPS()"


def test_it_never_reads_the_truth(contextual: Any) -> None:
    """The choice is a function of the batch alone, and evaluate says what it was."""
    log, target, means = contextual(2, 600)
    frame = evaluate(log, target, estimators=["auto", "dr"], expected_reward=means)
    chosen = Auto().chosen(evaluation_rows(log, target, means))
    assert frame.attrs["auto"] == repr(chosen)
    assert frame.loc["auto", "value"] == pytest.approx(
        row_contributions(chosen, evaluation_rows(log, target, means)).mean()
    )
    assert evaluate(log, target, estimators="auto").attrs["auto"]


def test_a_pair_shares_one_choice(contextual: Any) -> None:
    """Both sides of a comparison are valued by the same estimator, chosen for their difference."""
    log, target, means = contextual(3, 600)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    found = compare(
        log, target, uniform, estimator="auto", expected_reward=means, interval="normal"
    )
    ours, theirs = evaluation_rows(log, target, means), evaluation_rows(log, uniform, means)
    chosen = Auto().chosen(ours, theirs)
    values = row_contributions(chosen, ours) - row_contributions(chosen, theirs)
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


def risks_at_once(batch: EvaluationRows, theirs: EvaluationRows | None, pool: Any) -> list[float]:
    """Estimated errors of a pool's members by the docstring's formula, on whole vectors."""
    each = [row_contributions(one, batch) for one in pool]
    if theirs is not None:
        each = [values - row_contributions(one, theirs) for values, one in zip(each, pool)]
    risks = []
    for values in each:
        away = values - each[0]
        noise = away.var() / len(values)
        shift = max(away.mean() ** 2 - noise, noise / 2)
        risks.append(values.var() + len(values) * shift)
    return risks


@pytest.mark.parametrize("paired", [False, True])
def test_block_by_block_is_at_once(
    contextual: Any, monkeypatch: pytest.MonkeyPatch, paired: bool
) -> None:
    """Sums over blocks choose the member that whole vectors would, ratios and own classes too."""

    @dataclass(frozen=True)
    class Squared(Estimator):
        """A user's own estimator, whose parameter depends on how many rows there are."""

        name = "squared"
        most: Optional[float] = None

        def given(self, n: int) -> Squared:
            return Squared(n**0.25)

        def parts(self, rows: EvaluationRows) -> Parts:
            return Parts(np.minimum(rows.weight, self.most) * rows.reward)

    monkeypatch.setattr("policies.estimating.auto.SHARED_ROWS", 97)
    for seed in range(5):
        log, target, means = contextual(seed, 700)
        uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
        batch = evaluation_rows(log, target, means * 0.7)
        theirs = evaluation_rows(log, uniform, means * 0.7) if paired else None
        named = [DR(), SNDR(), SNIPS(), Squared(), DM(), *(each() for each in SHRUNK)]
        for pool in (named, _pool(batch, theirs)):
            least = risks_at_once(batch, theirs, pool)
            assert Auto(pool).chosen(batch, theirs) is pool[int(np.argmin(least))]
            values = [row_contributions(each, batch) for each in pool]
            if theirs is not None:
                values = [
                    ours - row_contributions(each, theirs) for ours, each in zip(values, pool)
                ]
            squares = [own.square for own in _sums(pool, batch, theirs)[0]]
            np.testing.assert_allclose(np.array(squares) / 700, [each.var() for each in values])


def test_a_pool_starts_unbiased() -> None:
    """A pool whose first member is biased has nothing to measure bias against."""
    with pytest.raises(EvaluationError, match="unbiased"):
        Auto([SNIPS(), IPS()])
