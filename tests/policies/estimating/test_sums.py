"""Sums: parts of a log add up to the whole, in any order, and nothing cancels."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from scipy import stats

from policies.estimating.estimators import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    Replay,
)
from policies.estimating.rows import evaluation_rows
from policies.estimating.summing import row_contributions, sum_rows
from policies.estimating.sums import Parts, Sums, WeightSums, table_row, unit_totals
from policies.judging.values import evaluate

EACH = [IPS(), SNIPS(), Replay(), DM(), DR(), SNDR(), ClippedIPS(3.0), DRos(4.0)]


@pytest.mark.parametrize("estimator", EACH, ids=repr)
@pytest.mark.parametrize("customers", [None, 60])
def test_parts_add_up(contextual: Any, estimator: Estimator, customers: int | None) -> None:
    """Sums of random parts, customers split among them, give the whole log's row to 1e-9."""
    log, target, means = contextual(8, 900, customers=customers)
    whole = evaluate(log, target, estimators=[estimator], expected_reward=means * 0.7).iloc[0]
    part = np.random.default_rng(1).integers(0, 4, len(log))
    codes, count = log.customers
    totals, weights = np.zeros((4, count)), []
    for number in range(4):
        at = np.flatnonzero(part == number)
        rows = evaluation_rows(log[at], target[at], means[at] * 0.7)
        totals += unit_totals(estimator.parts(rows), (codes[at], count))
        weights.append(WeightSums.of(rows, log.choice[at]))
    for order in (range(3), (2, 0, 1)):
        sums = reduce(add, (Sums.of_units(totals[:, number::3]) for number in order))
        merged = WeightSums.merged(weights)
        row = table_row(sums.value, sums.std_error, (0.0, 0.0), merged)
        for name in set(row) - {"low", "high"}:
            assert row[name] == pytest.approx(whole[name], rel=1e-9), name


@pytest.mark.parametrize("estimator", EACH, ids=repr)
@pytest.mark.parametrize("by_customer", [False, True])
def test_sums_say_what_contributions_say(
    contextual: Any, estimator: Estimator, by_customer: bool
) -> None:
    """Value and error from sums over blocks are those of the rows' contributions."""
    log, target, means = contextual(9, 20_000, customers=700)
    rows = evaluation_rows(log, target, means * 0.7)
    customers = log.customers if by_customer else None
    sums = sum_rows(rows, log.choice, [estimator], customers).estimates[estimator]
    values = row_contributions(estimator, rows)
    expected = stats.sem(values)
    if by_customer:
        away = np.bincount(log.customers[0], values - values.mean())
        expected = np.sqrt((away**2).sum() * 700 / 699) / 20_000
    assert sums.value == pytest.approx(values.mean(), rel=1e-12)
    assert sums.std_error == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("estimator", [SNIPS(), Replay(), DM(), DR(), SNDR()], ids=repr)
@pytest.mark.parametrize("by_customer", [False, True])
def test_rewards_far_from_0_keep_their_error(
    contextual: Any, estimator: Estimator, by_customer: bool
) -> None:
    """Rewards of ten million times their spread have the error that the same rewards have near 0."""
    log, target, means = contextual(10, 20_000, customers=700)
    errors = []
    for level in (0.0, 1e7):
        far = replace(log, reward=log.reward + level, reward_range=(level, level + 1))
        parts = estimator.parts(evaluation_rows(far, target, means * 0.7 + level))
        if by_customer:
            totals = unit_totals(parts, log.customers)
            sums = Sums.of_units(totals[:, :300]) + Sums.of_units(totals[:, 300:])
        else:
            ends = [slice(0, 9_000), slice(9_000, None)]
            columns = ([None if part is None else part[end] for part in parts] for end in ends)
            sums = reduce(add, (Sums.of(Parts(*each)) for each in columns))
        errors.append(sums.std_error)
    assert errors[1] == pytest.approx(errors[0], rel=1e-6)


def test_moments_are_numpys() -> None:
    """Merged sums of a plain column have numpy's mean and variance, far from 0 too."""
    values = 1e7 + np.random.default_rng(0).random(1_000)
    sums = reduce(add, (Sums.of(Parts(part)) for part in np.array_split(values, 11)))
    assert sums.value == pytest.approx(values.mean(), rel=1e-15)
    assert sums.square == pytest.approx(values.var() * 1_000, rel=1e-6)


def test_standard_error_by_customer() -> None:
    """The clustered error is the one computed by hand from each customer's sum."""
    values, ids = np.array([1.0, 2.0, 4.0, 7.0, 0.0]), np.array([1, 0, 0, 2, 1])
    away = np.bincount(ids, values - values.mean())
    expected = np.sqrt((away**2).sum() * 3 / 2) / 5
    assert Sums.of(Parts(values), (ids, 3)).std_error == pytest.approx(expected)
    assert Sums.of(Parts(values)).std_error == pytest.approx(stats.sem(values))
    assert np.isnan(Sums.of(Parts(values), (np.zeros(5, dtype=int), 1)).std_error)


def test_weights_add_up(contextual: Any) -> None:
    """Diagnostics and the reward model's skill are the same from parts as from the whole."""
    log, target, means = contextual(11, 1_000)
    rows = evaluation_rows(log, target, means * 0.7)
    whole = WeightSums.of(rows, log.choice)
    parts = [WeightSums.of(rows[at], log.choice[at]) for at in (slice(700, None), slice(0, 700))]
    merged = WeightSums.merged(parts)
    np.testing.assert_allclose(merged, whole, rtol=1e-12)
    r, q = rows.reward[log.choice], rows.residual[log.choice]
    assert merged.model_skill == pytest.approx(1 - (q**2).sum() / (r.var() * len(r)))
