"""Estimators: hand-computed values, parity with a second implementation, unbiasedness."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.errors import EvaluationError
from policies.estimating.estimators import (
    DM,
    DR,
    ESTIMATORS,
    IPS,
    IX,
    LS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    Replay,
    SubGaussianDR,
    SubGaussianIPS,
    SwitchDR,
    as_estimators,
)
from policies.estimating.rows import EvaluationRows, as_target, evaluation_rows
from policies.estimating.summing import row_contributions
from policies.estimating.sums import effective_size
from policies.log import LoggedDecisions


def three_rows() -> EvaluationRows:
    """Three rows with weights 2, 2 and 1, and a reward model that is wrong.

    Written out: A = 0, 1, 1; π = (1, 0), (.5, .5), (.2, .8); q = (.5, 0), (1, 1), (0, -.5).
    """
    return EvaluationRows(
        reward=np.array([1.0, 2.0, -1.0]),
        action_probability=np.array([0.5, 0.25, 0.8]),
        weight=np.array([2.0, 2.0, 1.0]),
        direct=np.array([0.5, 1.0, -0.4]),
        residual=np.array([0.5, 1.0, -0.5]),
    )


# Residuals r − q(A) are .5, 1, −.5.
BY_HAND = [
    # Replay: v = (1 + 1 − .8) / 2.3, linearised with mean weight 2.3 / 3
    (Replay(), [12 / 23 + w * (r - 12 / 23) * 3 / 2.3 for w, r in ((1, 1), (0.5, 2), (0.8, -1))]),
    (IPS(), [2.0, 4.0, -1.0]),
    (ClippedIPS(1.5), [1.5, 3.0, -1.0]),
    # SNIPS: v = 5/5 = 1 with mean weight 5/3
    (SNIPS(), [1.0, 1 + 2 / (5 / 3), 1 - 2 / (5 / 3)]),
    (DM(), [0.5, 1.0, -0.4]),
    (DR(), [1.5, 3.0, -0.9]),
    # SNDR: v = (1 + 2 − .5) / 5 = .5 with mean weight 5/3
    (SNDR(), [0.5 + 0.5, 1 + 0.5 + 2 * 0.5 * 0.6, -0.4 + 0.5 - 1 * 0.6]),
    (SwitchDR(1.5), [0.5, 1.0, -0.9]),
    # DRos: 3·2 / (4 + 3) = 6/7, and 3 / 4
    (DRos(3.0), [0.5 + 3 / 7, 1 + 6 / 7, -0.4 - 3 / 8]),
    # sub-Gaussian: 2 / (.5 + 1) = 4/3, and 1
    (SubGaussianIPS(0.5), [4 / 3, 8 / 3, -1.0]),
    (SubGaussianDR(0.5), [0.5 + 2 / 3, 1 + 4 / 3, -0.9]),
    (IX(0.2), [1 / 0.7, 2 * 0.5 / 0.45, -0.8]),
    (LS(0.5), [2 * math.log(2), 2 * math.log(3), -2 * math.log(1.5)]),
]


@pytest.mark.parametrize(("estimator", "expected"), BY_HAND, ids=lambda each: repr(each)[:20])
def test_three_rows_by_hand(estimator: Estimator, expected: list[float]) -> None:
    """Each estimator's contributions on three rows are those computed by hand."""
    np.testing.assert_allclose(row_contributions(estimator, three_rows()), expected)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (Replay(), 2.0), (IPS(), 4.0), (ClippedIPS(1.5), 3.0), (SNIPS(), 2.0), (DM(), 1.0),
        (DR(), 3.0), (SNDR(), 2.0), (SwitchDR(1.5), 1.0), (DRos(3.0), 1 + 6 / 7),
        (SubGaussianIPS(0.5), 8 / 3), (SubGaussianDR(0.5), 1 + 4 / 3), (IX(0.2), 1 / 0.45),
        (LS(0.5), 2 * math.log(3)),
    ],
)  # fmt: skip
def test_one_row_by_hand(estimator: Estimator, expected: float) -> None:
    """On one row the contribution is the estimate."""
    one = three_rows()[np.array([False, True, False])]
    np.testing.assert_allclose(row_contributions(estimator, one), [expected])


def by_rows(log: LoggedDecisions, target: Any, model: Any) -> dict[str, float]:
    """All estimates with their default parameters, written once more as loops over rows."""
    n, k = len(log), log.n_actions
    rows = []
    for i in range(n):
        taken, p, r = int(log.action[i]), float(log.action_probability[i]), float(log.reward[i])
        pi, q = float(target[i, taken]), float(model[i, taken])
        rows.append((pi, p, r, q, sum(float(target[i, a]) * float(model[i, a]) for a in range(k))))
    root = math.sqrt(n)

    def mean(term: Any) -> float:
        return math.fsum(term(*row) for row in rows) / n

    weight, matches = mean(lambda pi, p, *_: pi / p), mean(lambda pi, *_: pi)
    direct = mean(lambda pi, p, r, q, d: d)
    return {
        "replay": mean(lambda pi, p, r, *_: pi * r) / matches,
        "ips": mean(lambda pi, p, r, *_: pi / p * r),
        "clipped_ips": mean(lambda pi, p, r, *_: min(pi / p, root) * r),
        "snips": mean(lambda pi, p, r, *_: pi / p * r) / weight,
        "dm": direct,
        "dr": direct + mean(lambda pi, p, r, q, d: pi / p * (r - q)),
        "sndr": direct + mean(lambda pi, p, r, q, d: pi / p * (r - q)) / weight,
        "switch_dr": direct + mean(lambda pi, p, r, q, d: pi / p * (r - q) if pi / p <= root else 0),
        "dros": direct
        + mean(lambda pi, p, r, q, d: n * (pi / p) / ((pi / p) ** 2 + n) * (r - q)),
        "subgaussian_ips": mean(lambda pi, p, r, *_: pi / (p * (1 - 1 / root) + pi / root) * r),
        "subgaussian_dr": direct
        + mean(lambda pi, p, r, q, d: pi / (p * (1 - 1 / root) + pi / root) * (r - q)),
        "ix": mean(lambda pi, p, r, *_: pi / (p + 1 / root) * r),
        "ls": mean(lambda pi, p, r, *_: root * math.log(1 + pi / p * r / root)),
    }  # fmt: skip


def test_a_second_implementation_agrees(contextual: Any) -> None:
    """Vectorised estimates equal plain loops over rows, whatever the order of rows."""
    log, target, means = contextual(3, 500)
    model = means * 0.8
    batch, whole = evaluation_rows(log, target, model), as_target(log, target)
    order = np.random.default_rng(0).permutation(500)
    shuffled = evaluation_rows(log[order], target[order], model[order])
    expected = by_rows(log, whole, model)
    assert set(expected) == set(ESTIMATORS) - {"auto"}
    for name, value in expected.items():
        estimator = ESTIMATORS[name]()
        assert row_contributions(estimator, batch).mean() == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(
            row_contributions(estimator, shuffled),
            row_contributions(estimator, batch)[order],
            rtol=1e-9,
        )


def test_blocks_do_not_matter(contextual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log is reduced in blocks of rows, and their size changes nothing."""
    log, target, means = contextual(4, 700)
    whole = evaluation_rows(log, target, means)
    monkeypatch.setattr("policies.estimating.rows.block_rows", lambda _: 97)
    for name, values in vars(evaluation_rows(log, target, means)).items():
        np.testing.assert_array_equal(values, getattr(whole, name))


def test_threads_do_not_matter(contextual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log reduced by two threads gives the bits, and the first error, that one thread gives."""
    log, target, means = contextual(4, 30_000)
    wrong = target.copy()
    wrong[[11, 29_000]] *= 0.5
    found, said = [], []
    for large in (10**9, 0):
        monkeypatch.setattr("policies.estimating.blocks.LARGE", large)
        found.append([evaluation_rows(log, target, means), as_target(log, target)])
        found[-1] += [row_contributions(each(), found[-1][0]) for each in (DRos, ClippedIPS, LS)]
        with pytest.raises(EvaluationError, match="rows 11, 29000") as caught:
            evaluation_rows(log, wrong, means)
        said.append(str(caught.value))
    for one, two in zip(vars(found[0][0]).values(), vars(found[1][0]).values()):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(found[0][1:], found[1][1:]):
        np.testing.assert_array_equal(one, two)
    assert said[0] == said[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it is only a function
@given(lam=st.floats(1e-6, 1e6), seed=st.integers(0, 1_000))
def test_shrunk_weights_lie_between(contextual: Any, lam: float, seed: int) -> None:
    """Shrinkage leaves a weight between 0 and w, whatever the parameter; its ends are DM and DR."""
    log, target, means = contextual(seed, 40)
    batch = evaluation_rows(log, target, means)
    ones = dataclasses.replace(batch, residual=np.ones(len(batch)))
    for estimator in (DRos(lam), SwitchDR(lam), SubGaussianDR(min(lam, 1.0))):
        weight = row_contributions(estimator, ones) - ones.direct
        assert (weight >= -1e-12).all()
        assert isinstance(estimator, SubGaussianDR) or (weight <= batch.weight * (1 + 1e-9)).all()
    for ends in ((DRos(0.0), DM()), (DRos(math.inf), DR()), (SubGaussianDR(0.0), DR())):
        np.testing.assert_allclose(*(row_contributions(each, batch) for each in ends))


def test_ips_and_dr_are_unbiased(contextual: Any) -> None:
    """Over 300 logs, errors of IPS and of DR with a poor model average 0; those of DM do not."""
    errors: dict[str, list[float]] = {"ips": [], "dr": [], "dm": []}
    for seed in range(300):
        log, target, means = contextual(seed, 400)
        truth = (target * means).sum(axis=1).mean()
        batch = evaluation_rows(log, target, np.full(means.shape, 0.4))
        for name, found in errors.items():
            found.append(row_contributions(ESTIMATORS[name](), batch).mean() - truth)
    for name, found in errors.items():
        z = np.mean(found) / (np.std(found) / np.sqrt(len(found)))
        assert (abs(z) < 3.5) == (name != "dm"), (name, z)


def test_lower_bounds_on_average(contextual: Any) -> None:
    """For rewards >= 0, clipped IPS, sub-Gaussian below its bound, IX and LS never exceed IPS."""
    log, target, _ = contextual(5, 400)
    batch = evaluation_rows(log, target)
    plain = row_contributions(IPS(), batch)
    for estimator in (ClippedIPS(), IX(), LS(), LS(0.3), IX(0.01)):
        assert (row_contributions(estimator, batch) <= plain + 1e-12).all()


def test_losses_are_smoothed_like_gains() -> None:
    """LS of a negated reward is the negated LS, and exists however large the loss."""
    batch = three_rows()
    negated = dataclasses.replace(batch, reward=-1e6 * batch.reward)
    larger = dataclasses.replace(batch, reward=1e6 * batch.reward)
    np.testing.assert_allclose(
        row_contributions(LS(2.0), negated), -row_contributions(LS(2.0), larger)
    )


def test_replay_needs_a_uniform_logger(bandit: Any, always: Any) -> None:
    """Replay is the mean reward of matching rows."""
    log = bandit(1, 400, [0.3, 0.7], [0.1, 0.5])
    batch = evaluation_rows(log, always(400, 2, 1))
    assert row_contributions(Replay(), batch).mean() == pytest.approx(
        log.reward[log.action == 1].mean()
    )


def test_names_and_instances() -> None:
    """`estimators=` takes one or several names and instances, and proposes a name for a wrong one."""
    kinds = [type(each) for each in as_estimators(("ips", SNIPS(), "dm"))]
    assert kinds == [IPS, SNIPS, DM]
    assert isinstance(as_estimators("dr")[0], DR)
    with pytest.raises(EvaluationError, match="did you mean 'snips'"):
        as_estimators(["snip"])
    assert repr(DRos(2)) == "DRos(lam=2.0)"


@pytest.mark.parametrize(
    ("kind", "value"),
    [(ClippedIPS, -1), (SwitchDR, math.nan), (DRos, "3"), (SubGaussianIPS, 1.5), (IX, -0.1)],
)
def test_parameters_are_checked(kind: Any, value: Any) -> None:
    """A parameter outside its range is refused when the estimator is made."""
    with pytest.raises(EvaluationError, match="a number from 0"):
        kind(value)


def test_no_weight_at_all_is_not_a_number() -> None:
    """Ratios say NaN, and no warning, where no row has any weight."""
    zero = dataclasses.replace(three_rows(), weight=np.zeros(3))
    for estimator in (SNIPS(), Replay(), SNDR()):
        assert np.isnan(row_contributions(estimator, zero)).all()


def test_a_target_must_be_a_distribution(bandit: Any) -> None:
    """A target of another shape, sum, or order of actions is refused, naming rows of the whole log."""
    log = bandit(0, 10, [0.5, 0.5], [0.1, 0.2])
    for target in (np.ones((10, 2)), np.full((9, 2), 0.5), np.tile([1.5, -0.5], (10, 1))):
        with pytest.raises(EvaluationError):
            evaluation_rows(log, target)
    with pytest.raises(EvaluationError, match="must be finite"):
        evaluation_rows(log, np.full((10, 2), 0.5), np.full((10, 2), np.nan))
    late = np.full((10, 2), 0.5)
    late[7] = [0.5, np.nan]
    with pytest.raises(EvaluationError, match="row 7"):
        evaluation_rows(log, late)

    class Other:
        action_ids = ("b", "a")

    with pytest.raises(EvaluationError, match="same order"):
        evaluation_rows(log, Other())


class Answering:
    """A policy that answers a block's contexts with what it was told to make of (m, 3) numbers."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def distribution(self, contexts: Any, eligible: Any) -> Any:
        """What was told."""
        return self.make(np.tile([0.5, 0.3, 0.2], (len(eligible), 1)), contexts)


@pytest.mark.parametrize(
    "make",
    [
        lambda array, _: array[:, :2] * 1.25,
        lambda array, _: array[:1],
        lambda array, _: array[:-1],
        lambda array, _: None,
        lambda array, _: "uniform",
        lambda array, _: pd.DataFrame(array).sample(frac=1, random_state=0),
        lambda array, _: pd.DataFrame(array, columns=["a0", "a1", "b"]),
    ],
    ids=["columns", "one row", "a row less", "none", "text", "shuffled", "names"],
)
def test_a_policy_must_answer_in_shape(contextual: Any, make: Any) -> None:
    """An answer that is not one row per context and one column per action is refused."""
    log, _, _ = contextual(0, 50)
    free = dataclasses.replace(log, eligible=None, distribution=None)
    with pytest.raises(EvaluationError, match="a policy's distribution"):
        evaluation_rows(free, Answering(make))


def test_a_policy_may_answer_with_a_frame(contextual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame is read by its columns' names, and may keep its contexts' index."""
    log, _, _ = contextual(0, 50)
    free = dataclasses.replace(log, eligible=None, distribution=None)
    monkeypatch.setattr("policies.estimating.rows.block_rows", lambda _: 20)
    expected = evaluation_rows(free, np.tile([0.5, 0.3, 0.2], (50, 1))).weight
    for index in (lambda contexts: contexts.index, lambda contexts: None):

        def turned(array: Any, contexts: Any, index: Any = index) -> Any:
            names = ["a2", "a1", "a0"]
            return pd.DataFrame(array[:, ::-1], columns=names, index=index(contexts))

        np.testing.assert_array_equal(evaluation_rows(free, Answering(turned)).weight, expected)


def test_frames_in_another_order_are_refused(contextual: Any) -> None:
    """A target or a reward model whose index says that it may be shuffled is refused."""
    log, target, means = contextual(0, 50)
    for what in (target, means):
        frame = pd.DataFrame(what, columns=log.action_ids)
        shuffled = frame.sample(frac=1, random_state=0)
        given = (shuffled, means) if what is target else (target, shuffled)
        with pytest.raises(EvaluationError, match="index of its own"):
            evaluation_rows(log, *given)
        given = (frame, means) if what is target else (target, frame)
        np.testing.assert_array_equal(
            evaluation_rows(log, *given).direct, evaluation_rows(log, target, means).direct
        )


def test_mass_where_nothing_is_eligible(contextual: Any) -> None:
    """A target with mass on an action that is not eligible is refused; forced rows are exactly 1."""
    log, target, _ = contextual(0, 200)
    forced = ~log.choice
    assert forced.any()
    batch = evaluation_rows(log, target)
    assert (batch.target_probability[forced] == 1).all()
    assert (as_target(log, target)[forced].max(axis=1) == 1).all()
    assert (batch.weight[forced] == 1).all()
    with pytest.raises(EvaluationError, match="must be 0 where not eligible"):
        evaluation_rows(log, np.full(target.shape, 1 / 3))


def test_probabilities_must_be_known(contextual: Any) -> None:
    """A log without action probabilities is not evaluated as if it had some."""
    log, target, _ = contextual(0, 200)
    unknown = dataclasses.replace(log, action_probability=None, distribution=None)
    assert unknown.probabilities == "unknown"
    with pytest.raises(EvaluationError, match="estimate_probabilities"):
        evaluation_rows(unknown, target)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_rows_are_never_written_into(contextual: Any, name: str) -> None:
    """An estimator computes in arrays of its own: columns that nobody may write into suffice."""
    log, target, means = contextual(6, 300)
    rows = evaluation_rows(log, target, means)
    for column in vars(rows).values():
        if column is not None:
            column.flags.writeable = False
    found = row_contributions(ESTIMATORS[name](), rows)
    assert found.shape == (300,)
    assert np.isfinite(found).all()
    ESTIMATORS[name]().chosen(rows, rows[::-1])


def test_effective_size() -> None:
    """Equal weights count fully, one weight counts as one row, none as nothing."""
    assert effective_size(np.ones(7)) == 7
    assert effective_size(np.array([0.0, 3.0, 0.0])) == 1
    assert effective_size(np.zeros(3)) == 0
