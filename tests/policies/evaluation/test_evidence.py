"""What a log can say about a target: decide, collect, or broken, and why."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.evaluation.evidence import assess

SKEWED = [0.9, 0.05, 0.05]


def test_a_clean_log_decides(contextual: Any) -> None:
    """Clean logs with overlap decide: at most 5 % of 100 are called broken."""
    found = [assess(*contextual(seed, 2_000)[:2]).verdict for seed in range(100)]
    assert found.count("broken") <= 5
    assert found.count("decide") >= 95


@pytest.mark.parametrize("chances", [[1 / 3] * 3, SKEWED])
def test_halved_probabilities_are_found(bandit: Any, always: Any, chances: list[float]) -> None:
    """Halving the logged probability of one action breaks the log, whatever the target."""
    log = bandit(0, 10_000, chances, [0.1, 0.2, 0.3], known=False)
    wrong = np.where(log.action == 1, 0.5, 1.0) * log.action_probability
    found = assess(dataclasses.replace(log, action_probability=wrong), always(10_000, 3, 0))
    assert found.verdict == "broken"
    assert "'a1'" in found.reasons[0]


def test_duplicates_break_a_log(contextual: Any) -> None:
    """Two decisions for one customer on one date are not believed."""
    log, target, _ = contextual(0, 1_000)
    rows = np.r_[np.arange(1_000), 5, 6]
    found = assess(log[rows], target[rows])
    assert found.verdict == "broken"
    assert "2 rows repeat" in found.reasons[0]


def test_what_must_be_collected(bandit: Any, always: Any) -> None:
    """Too few effective rows, a missing action, or too small an effect: collect, with a number."""
    log, target = bandit(0, 1_000, SKEWED, [0.1, 0.2, 0.3]), always(1_000, 3, 2)
    few = assess(log, target)
    assert few.verdict == "collect"
    assert few.effective_n == (log.action == 2).sum() < 100
    asked = assess(log, always(1_000, 3, 0), minimum_effect=0.01)
    assert asked.verdict == "collect"
    contributions = np.where(log.action == 0, log.reward / 0.9, 0.0)
    assert asked.rows_needed == pytest.approx(7.85 * contributions.var(ddof=1) / 1e-4, abs=1)
    assert assess(log, always(1_000, 3, 0), minimum_effect=0.1).verdict == "decide"
    never = bandit(0, 1_000, [0.5, 0.5, 0.0], [0.1, 0.2, 0.3])
    found = assess(never, always(1_000, 3, 2))
    assert found.verdict == "collect"
    assert "100.0%" in " ".join(found.reasons)
    with pytest.raises(EvaluationError, match="minimum_effect"):
        assess(log, target, minimum_effect=0)
