"""Estimators: hand-computed values, parity with a second implementation, unbiasedness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.evaluation.estimators import (
    DM,
    DR,
    ESTIMATORS,
    IPS,
    SNIPS,
    Batch,
    as_estimators,
    batch_of,
    effective_size,
)
from policies.logged import LoggedDecisions


def three_rows() -> Batch:
    """Three rows, two actions, and a reward model that is wrong."""
    return Batch(
        action=np.array([0, 1, 1]),
        action_probability=np.array([0.5, 0.25, 0.8]),
        reward=np.array([1.0, 2.0, -1.0]),
        eligible=np.ones((3, 2), dtype=bool),
        target=np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]]),
        expected_reward=np.array([[0.5, 0.0], [1.0, 1.0], [0.0, -0.5]]),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ips", [2.0, 4.0, -1.0]),
        # v = 5/5 = 1 with mean weight 5/3: 1 + w (r - 1) / (5/3)
        ("snips", [1.0, 1 + 2 / (5 / 3), 1 - 2 / (5 / 3)]),
        ("dm", [0.5, 1.0, -0.4]),
        ("dr", [0.5 + 2 * 0.5, 1.0 + 2 * 1.0, -0.4 + 1 * -0.5]),
    ],
)
def test_three_rows_by_hand(name: str, expected: list[float]) -> None:
    """Each estimator's contributions on three rows are those computed by hand."""
    np.testing.assert_allclose(ESTIMATORS[name]().contributions(three_rows()), expected)


@pytest.mark.parametrize(
    ("name", "expected"), [("ips", 4.0), ("snips", 2.0), ("dm", 1.0), ("dr", 3.0)]
)
def test_one_row_by_hand(name: str, expected: float) -> None:
    """On one row the contribution is the estimate."""
    batch = three_rows()
    one = Batch(
        batch.action[1:2],
        batch.action_probability[1:2],
        batch.reward[1:2],
        batch.eligible[1:2],
        batch.target[1:2],
        batch.model[1:2],
    )
    np.testing.assert_allclose(ESTIMATORS[name]().contributions(one), [expected])


def by_rows(log: LoggedDecisions, target: Any, model: Any) -> dict[str, float]:
    """The four estimates, written once more as loops over rows and actions."""
    sums = dict.fromkeys(("ips", "weight", "dm", "dr"), 0.0)
    for row in range(len(log)):
        taken, reward = int(log.action[row]), float(log.reward[row])
        weight = float(target[row, taken]) / float(log.action_probability[row])
        direct = sum(float(target[row, a]) * float(model[row, a]) for a in range(log.n_actions))
        sums["ips"] += weight * reward
        sums["weight"] += weight
        sums["dm"] += direct
        sums["dr"] += direct + weight * (reward - float(model[row, taken]))
    means = {name: sums[name] / len(log) for name in ("ips", "dm", "dr")}
    return {**means, "snips": sums["ips"] / sums["weight"]}


def test_a_second_implementation_agrees(contextual: Any) -> None:
    """Vectorised estimates equal plain loops over rows, whatever the order of rows."""
    log, target, means = contextual(3, 500)
    batch = batch_of(log, target, means * 0.8)
    order = np.random.default_rng(0).permutation(500)
    shuffled = batch_of(log[order], target[order], means[order] * 0.8)
    for name, value in by_rows(log, batch.target, means * 0.8).items():
        estimator = ESTIMATORS[name]()
        assert estimator.contributions(batch).mean() == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(
            estimator.contributions(shuffled), estimator.contributions(batch)[order], rtol=1e-9
        )


def test_ips_and_dr_are_unbiased(contextual: Any) -> None:
    """Over 300 logs, errors of IPS and of DR with a poor model average 0; those of DM do not."""
    errors: dict[str, list[float]] = {"ips": [], "dr": [], "dm": []}
    for seed in range(300):
        log, target, means = contextual(seed, 400)
        truth = (target * means).sum(axis=1).mean()
        batch = batch_of(log, target, np.full(means.shape, 0.4))
        for name, found in errors.items():
            found.append(ESTIMATORS[name]().contributions(batch).mean() - truth)
    for name, found in errors.items():
        z = np.mean(found) / (np.std(found) / np.sqrt(len(found)))
        assert (abs(z) < 3.5) == (name != "dm"), (name, z)


def test_names_and_instances() -> None:
    """`estimators=` takes one or several names and instances, and proposes a name for a wrong one."""
    kinds = [type(each) for each in as_estimators(("ips", SNIPS(), "dm"))]
    assert kinds == [IPS, SNIPS, DM]
    assert isinstance(as_estimators("dr")[0], DR)
    with pytest.raises(EvaluationError, match="did you mean 'snips'"):
        as_estimators(["snip"])


def test_no_weight_at_all_is_not_a_number() -> None:
    """SNIPS says NaN, and no warning, where no row has any weight."""
    batch = three_rows()
    zero = Batch(batch.action[:1], batch.action_probability[:1], batch.reward[:1],
                 batch.eligible[:1], np.array([[0.0, 1.0]]))  # fmt: skip
    assert np.isnan(SNIPS().contributions(zero)).all()


def test_a_target_must_be_a_distribution(bandit: Any) -> None:
    """A target of another shape, sum, or order of actions is refused."""
    log = bandit(0, 10, [0.5, 0.5], [0.1, 0.2])
    for target in (np.ones((10, 2)), np.full((9, 2), 0.5), np.tile([1.5, -0.5], (10, 1))):
        with pytest.raises(EvaluationError):
            batch_of(log, target)
    with pytest.raises(EvaluationError, match="must be finite"):
        batch_of(log, np.full((10, 2), 0.5), np.full((10, 2), np.nan))

    class Other:
        action_ids = ("b", "a")

    with pytest.raises(EvaluationError, match="same order"):
        batch_of(log, Other())


def test_mass_where_nothing_is_eligible(contextual: Any) -> None:
    """A target with mass on an action that is not eligible is refused; forced rows are exactly 1."""
    log, target, _ = contextual(0, 200)
    forced = ~log.choice
    assert forced.any()
    batch = batch_of(log, target)
    assert (batch.target[forced].max(axis=1) == 1).all()
    assert (batch.weight[forced] == 1).all()
    with pytest.raises(EvaluationError, match="must be 0 where not eligible"):
        batch_of(log, np.full(target.shape, 1 / 3))


def test_effective_size() -> None:
    """Equal weights count fully, one weight counts as one row, none as nothing."""
    assert effective_size(np.ones(7)) == 7
    assert effective_size(np.array([0.0, 3.0, 0.0])) == 1
    assert effective_size(np.zeros(3)) == 0
