"""Values by segment: each is its own log's value, and all intervals hold together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policies import ClippedIPS, evaluate, evaluate_by
from policies.errors import EvaluationError


def test_a_segment_is_a_log_of_its_own(contextual: Any) -> None:
    """Every row is what evaluate says of that segment alone, at the confidence shared by all."""
    log, target, means = contextual(1, 900, customers=90)
    settings: dict[str, Any] = {"estimators": ["snips", "dr", "sndr"]}
    found = evaluate_by(log, target, "kind", expected_reward=means, **settings)
    assert found.attrs["segments"] == 2
    assert found.attrs["confidence_each"] == pytest.approx(0.975)
    for kind in ("high", "low"):
        rows = (log.contexts["kind"] == kind).to_numpy()
        alone = evaluate(
            log[rows], target[rows], expected_reward=means[rows], confidence=0.975, **settings
        )
        np.testing.assert_allclose(found.loc[kind], alone, rtol=1e-9)


def test_days_and_labels(contextual: Any) -> None:
    """Days, labels and cut numbers are segments; days come in order, a missing label is one."""
    log, target, _ = contextual(2, 600)
    days = evaluate_by(log, target, "decision_date", estimators="ips")
    assert list(days.index.get_level_values("segment")) == sorted(np.unique(log.decision_date))
    labels = np.where(log.contexts["x"] > 0, "warm", None)
    found = evaluate_by(log, target, labels, estimators="ips")
    assert list(found.index.get_level_values("segment")) == ["(missing)", "warm"]
    whole = evaluate(log, target, estimators="ips").loc["ips", "value"]
    assert np.average(found["value"], weights=found["n"]) == pytest.approx(whole)


def test_all_intervals_hold_together(bandit: Any, always: Any) -> None:
    """Over 300 logs cut into 20 segments of equal value, any interval misses in about 5 %."""
    missed = 0
    for seed in range(300):
        log = bandit(seed, 6_000, [0.5, 0.5], [0.3, 0.3])
        found = evaluate_by(log, always(6_000, 2, 1), np.arange(6_000) % 20, estimators="snips")
        missed += bool(((found["low"] > 0.3) | (found["high"] < 0.3)).any())
    assert missed / 300 <= 0.09


def test_what_is_refused(contextual: Any) -> None:
    """Unknown columns, labels of another length, and identifiers are refused."""
    log, target, _ = contextual(3, 1_500)
    with pytest.raises(EvaluationError, match="did you mean 'kind'"):
        evaluate_by(log, target, "kinds")
    with pytest.raises(EvaluationError, match="must be 1500 labels"):
        evaluate_by(log, target, np.zeros(3))
    with pytest.raises(EvaluationError, match="more than 1,000"):
        evaluate_by(log, target, "x")
    with pytest.raises(EvaluationError, match="empty"):
        evaluate_by(log[:0], target[:0], "kind")


@pytest.mark.parametrize("estimators", [["auto", "dr"], [ClippedIPS(2.0), ClippedIPS(5.0)]])
def test_segments_say_what_evaluate_says(contextual: Any, estimators: Any) -> None:
    """One segment of all rows has evaluate's rows, labels and intervals, also for a chosen member."""
    log, target, means = contextual(4, 700)
    settings: dict[str, Any] = {"estimators": estimators, "expected_reward": means}
    found = evaluate_by(log, target, np.zeros(700), **settings)
    whole = evaluate(log, target, **settings)
    assert list(found.loc[0.0].index) == list(whole.index)
    np.testing.assert_allclose(found.loc[0.0], whole, rtol=1e-9)
    assert found.attrs.get("auto") == whole.attrs.get("auto")


def test_a_segment_without_weight_is_not_sure(bandit: Any, always: Any) -> None:
    """A segment in which the target's action never occurs has no interval."""
    log = bandit(0, 400, [0.5, 0.5], [0.2, 0.4])
    segment = np.where((log.action == 1) | (np.arange(400) % 2 == 0), "both", "only a0")
    model = np.full((400, 2), 0.3)
    found = evaluate_by(log, always(400, 2, 1), segment, expected_reward=model)
    assert np.isnan(found.loc[("only a0", "dr"), "low"])
    assert np.isfinite(found.loc[("both", "dr"), "low"])


def test_labels_of_another_order(contextual: Any) -> None:
    """Labels with an index of their own are refused: their order may not be the log's."""
    log, target, _ = contextual(4, 300)
    with pytest.raises(EvaluationError, match="index of their own"):
        evaluate_by(log, target, log.contexts["kind"].sample(frac=1, random_state=0))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("mixed", [True, False])
def test_actions_never_drawn_widen_every_table(
    bandit: Any, always: Any, known: bool, mixed: bool
) -> None:
    """One segment of all rows has evaluate's interval, widened where the logger never draws."""
    log = bandit(0, 2_000, [0.5, 0.5, 0.0], [0.3, 0.3, 0.3], known=known)
    target = always(2_000, 3, 2)
    if mixed:
        target = 0.5 * target + 0.5 * always(2_000, 3, 0)
    settings: dict[str, Any] = {
        "estimators": ["ips", "dr", "auto"],
        "expected_reward": np.full((2_000, 3), 0.3),
    }
    whole = evaluate(log, target, **settings)
    found = evaluate_by(log, target, np.zeros(2_000), **settings).loc[0.0]
    columns = ["value", "low", "high"]
    np.testing.assert_allclose(found[columns], whole[columns], rtol=1e-9, atol=1e-12)
    share = 0.5 if mixed else 1.0
    assert (found["high"] - found["low"] >= 2 * share).all()


def test_a_segment_is_widened_by_its_own_share(bandit: Any, always: Any) -> None:
    """Only the segment in which the target does what is never drawn there has a wider interval."""
    log = bandit(1, 2_000, [0.5, 0.5, 0.0], [0.3, 0.3, 0.3])
    target, segment = always(2_000, 3, 0), np.arange(2_000) % 2
    target[segment == 1] = [0.6, 0.0, 0.4]
    found = evaluate_by(log, target, segment, estimators="ips")
    alone = [evaluate(log[segment == name], target[segment == name], estimators="ips",
                      confidence=0.975).loc["ips"] for name in (0, 1)]  # fmt: skip
    for name in (0, 1):
        row = found.loc[(name, "ips")]
        np.testing.assert_allclose(row, alone[name], rtol=1e-9)
        assert (row["high"] - row["low"] > 0.8) == bool(name)
    assert found.attrs["unsupported"] == pytest.approx(0.2)
