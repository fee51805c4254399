"""Pictures show what their frames say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from policies import LoggedDecisions, compare, evaluate, evaluate_by, pictures


@pytest.fixture
def log() -> LoggedDecisions:
    """600 decisions on three days, one row in ten without a choice."""
    rng = np.random.default_rng(0)
    eligible = np.ones((600, 3), dtype=bool)
    eligible[::10, 1:] = False
    distribution = eligible / eligible.sum(axis=1, keepdims=True)
    action = (distribution.cumsum(axis=1) > rng.random((600, 1))).argmax(axis=1)
    return LoggedDecisions(
        ["a", "b", "c"], action, distribution[np.arange(600), action], rng.random(600), eligible,
        distribution=distribution, reward_range=(0, 1),
        decision_date=np.repeat(np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[D]"), 200),
    )  # fmt: skip


@pytest.fixture
def target(log: LoggedDecisions) -> Any:
    """Mostly `c` where there is a choice."""
    return np.where(log.choice[:, None], [0.1, 0.1, 0.8], log.eligible)


def test_estimates(log: LoggedDecisions, target: Any) -> None:
    """One row of points a policy and estimator, and a line for the truth where one is known."""
    frame = evaluate(log, target).reset_index()
    values = pd.concat([frame.assign(policy="one"), frame.assign(policy="two")])
    axes = pictures.estimates(values).axes[0]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["two", "one"]
    drawn = sorted(
        float(x) for line in axes.lines for x in line.get_xdata() if line.get_marker() == "o"
    )
    assert drawn == pytest.approx(sorted(values["value"]))
    assert "truth" not in axes.get_legend_handles_labels()[1]
    with_truth = pictures.estimates(values.assign(truth=0.5)).axes[0]
    assert "truth" in with_truth.get_legend_handles_labels()[1]


def test_overlap(log: LoggedDecisions, target: Any) -> None:
    """Bars are shares of choice rows; the curve ends at all weight; the title says effective n."""
    left, right = pictures.overlap(log, target, "mine").axes
    widths = [bar.get_width() for bar in left.patches]
    logged = np.bincount(log.action[log.choice], minlength=3) / log.choice.sum()
    assert widths == pytest.approx([*logged, 0.1, 0.1, 0.8])
    assert right.lines[0].get_ydata()[-1] == pytest.approx(1.0)
    effective = evaluate(log, target).loc["ips", "effective_n"]
    assert f"{effective:,.0f}" in right.get_title()


def test_over_time(log: LoggedDecisions, target: Any) -> None:
    """A line and a band a policy over the days, dotted for the truth."""
    by_day = evaluate_by(log, target, "decision_date", estimators="ips")
    axes = pictures.over_time({"mine": by_day}, {"mine": [0.5, 0.5, 0.6]}).axes[0]
    assert list(axes.lines[0].get_ydata()) == list(by_day["value"])
    assert axes.lines[1].get_linestyle() == ":"
    assert len(axes.collections) == 1


def test_differences(log: LoggedDecisions, target: Any) -> None:
    """Each pair's point is its difference, with its verdict beside it."""
    pair = compare(log, target, log.distribution, estimator="ips", margin=0.2)
    axes = pictures.differences({"mine − theirs": pair}).axes[0]
    assert [each.get_text() for each in axes.texts] == [pair.verdict]
    points = [float(x) for line in axes.lines if line.get_marker() == "o" for x in line.get_xdata()]
    assert points == [pair.difference]
