"""The gate promotes, holds and rejects by rules that it states."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from policies import AsDeployed, cross_fit
from policies.errors import EvaluationError
from policies.judging.gate import Gate, lifetime_alpha
from policies.sequences.days import DaySums, day_sums


@pytest.fixture
def days(bandit: Any, always: Any) -> Any:
    """(rates of incumbent and candidate) -> day sums of 4,000 rows over 8 days."""

    def made(incumbent: float, candidate: float) -> list[DaySums]:
        n = 4_000
        log = bandit(0, n, [0.5, 0.5], [incumbent, candidate], days=np.arange(n) // 500)
        return day_sums(log, always(n, 2, 1), always(n, 2, 0), estimator="ips")

    return made


@pytest.mark.parametrize(
    ("rates", "step", "margin", "verdict"),
    [
        ((0.1, 0.4), "champion", 0.0, "promote"),
        ((0.1, 0.4), "staging", 0.0, "promote"),
        ((0.2, 0.2), "staging", 0.15, "promote"),
        ((0.2, 0.2), "champion", 0.15, "hold"),
        ((0.2, 0.2), "staging", 0.0, "hold"),
        ((0.4, 0.1), "staging", 0.05, "reject"),
        ((0.4, 0.1), "champion", 0.0, "reject"),
        ((0.4, 0.3), "staging", 0.1, "hold"),
    ],
)
def test_verdicts(
    days: Any, rates: tuple[float, float], step: str, margin: float, verdict: str
) -> None:
    """Staging asks "not worse than the margin", champion asks "better"; both can reject."""
    found = Gate(alpha=0.05, margin=margin).judge(days(*rates), step)
    assert found.verdict == verdict
    assert found.sentence.startswith(verdict)
    assert found.to_dict()["rules"]["better"]["limit"] == (-margin if step == "staging" else 0.0)
    assert (found.n, found.n_choice) == (4_000, 4_000)


def test_a_learned_range_is_refused(days: Any) -> None:
    """Sums whose range was learned from the log neither promote nor reject."""
    for rates in ((0.1, 0.4), (0.4, 0.1)):
        learned = [dataclasses.replace(each, range="learned") for each in days(*rates)]
        found = Gate().judge(learned)
        assert found.verdict == "hold"
        assert not found.rules["range"]["holds"]
        assert "not declared" in found.sentence


@pytest.mark.parametrize("gate", [Gate(min_effective_n=5_000), Gate(min_days=9)])
def test_too_little_evidence_holds(days: Any, gate: Gate) -> None:
    """Effective sample size and days below the minimum hold a promotion, but not a rejection."""
    assert gate.judge(days(0.1, 0.4)).verdict == "hold"
    assert gate.judge(days(0.4, 0.1)).verdict == "reject"


def test_no_days_hold() -> None:
    """Without evidence the verdict is hold, from minus to plus infinity."""
    found = Gate().judge([])
    assert (found.verdict, found.low, found.high) == ("hold", -np.inf, np.inf)


def test_a_hold_says_how_many_rows_are_needed(days: Any) -> None:
    """A held verdict says how many more decisions, and days, give 80 % power."""
    found = Gate(minimum_effect=0.02).judge(days(0.2, 0.2))
    assert found.n == 3_500  # the first of eight days tunes, and is not judged
    assert found.rows_needed is not None
    more = found.rows_needed - found.n
    assert found.days_needed == math.ceil(more / 500)
    assert found.sentence.endswith(
        f" About {more:,} more decisions ({found.days_needed:,} days at this rate) give 80 % power"
        " for a difference of 0.02."
    )
    enough = Gate(minimum_effect=0.15).judge(days(0.2, 0.2))
    assert enough.sentence.endswith(
        "a true difference of 0.15 would have been detected with 80 % power."
    )
    assert "more decisions" not in Gate().judge(days(0.2, 0.2)).sentence
    assert Gate().judge(days(0.2, 0.2)).rows_needed is None


def test_staging_needs_fewer_rows(days: Any) -> None:
    """To be better than minus a margin takes fewer rows than to be better than 0."""
    gate, sums = Gate(minimum_effect=0.02, margin=0.02), days(0.2, 0.2)
    staging, champion = (gate.judge(sums, step).rows_needed for step in ("staging", "champion"))
    assert staging is not None
    assert champion is not None
    assert champion > 2 * staging


def test_the_first_day_only_tunes(days: Any) -> None:
    """Without earlier rewards the first day holds, and the sentence says why."""
    found = Gate(minimum_effect=0.02).judge(days(0.1, 0.9)[:1])
    assert (found.verdict, found.low, found.high) == ("hold", -np.inf, np.inf)
    assert "The first day only sets the tuning; judging starts with the next day" in found.sentence


@pytest.mark.slow
def test_rows_needed_are_right(bandit: Any, always: Any) -> None:
    """The rows asked for after 1,000 rows promote some 80 % of 100 streams, and half do not."""
    n, promoted, early = 30_000, 0, 0
    gate = Gate(minimum_effect=0.05)
    for seed in range(100):
        log = bandit(seed, n, [0.9, 0.1], [0.2, 0.25], days=np.arange(n) // 500)
        sums = day_sums(log, always(n, 2, 1), always(n, 2, 0), np.tile([0.2, 0.25], (n, 1)))
        needed = gate.judge(sums[:3], "champion").rows_needed
        assert needed is not None
        verdicts = [gate.judge(sums[: day + 1], "champion").verdict for day in range(needed // 500)]
        promoted += "promote" in verdicts
        early += "promote" in verdicts[: len(verdicts) // 2]
    assert 70 <= promoted <= 95
    assert early < 50


@pytest.mark.slow
def test_hardly_any_equal_candidate_is_promoted() -> None:
    """Of 100 worlds whose candidate is worth the same, at most 5 % and their margin are promoted.

    Daily looks for 60 days; 10 of 100 would be beyond two standard errors of 5 %. See docs/gate.md
    for 500 worlds.
    """
    from simulation import scenario

    promoted = 0
    for seed in range(100):
        world = scenario("same", customers=300, seed=seed)
        log = world.history(60)
        ours, theirs = (
            AsDeployed(each, world.exploration).distribution(log.contexts, log.eligible)
            for each in (world.candidate, world.incumbent)
        )
        sums = day_sums(log, ours, theirs, cross_fit(log, by="date"))
        gate = Gate(minimum_effect=0.005)
        looks = (gate.judge(sums[: day + 1], "champion").verdict for day in range(len(sums)))
        promoted += "promote" in looks
    assert promoted < 10


def test_lifetime_alpha() -> None:
    """Shares of the error budget over all lineages sum to the budget; later ones are stricter."""
    assert sum(lifetime_alpha(0.05, j) for j in range(1, 20_000)) == pytest.approx(0.05, rel=1e-3)
    with pytest.raises(EvaluationError, match="counted from 1"):
        lifetime_alpha(0.05, 0)


def test_a_later_lineage_has_wider_bounds(days: Any) -> None:
    """The tenth lineage is judged with a smaller alpha, so with a lower bound that is lower."""
    first, tenth = Gate().judge(days(0.2, 0.3)), Gate().judge(days(0.2, 0.3), tried=10)
    assert tenth.alpha < first.alpha
    assert tenth.low < first.low


def test_settings_are_checked(days: Any) -> None:
    """An impossible alpha, margin or step is refused."""
    for wrong in ({"alpha": 0.0}, {"alpha": 5.0}, {"margin": -1.0}, {"minimum_effect": 0.0}):
        with pytest.raises(EvaluationError):
            Gate(**wrong)
    with pytest.raises(EvaluationError, match="staging, champion"):
        Gate().judge(days(0.2, 0.2), "production")


@pytest.mark.parametrize("rates", [(0.1, 0.4), (0.4, 0.1)])
def test_a_log_that_contradicts_itself_moves_nothing(days: Any, rates: tuple[float, float]) -> None:
    """A problem of the log holds a promotion as well as a rejection, and the sentence names it."""
    assert Gate().judge(days(*rates)).verdict in ("promote", "reject")
    found = Gate().judge(days(*rates), problems=("weights average 2 instead of 1",))
    assert found.verdict == "hold"
    assert found.rules["log"]["holds"] is False
    assert "the log cannot be trusted: weights average 2 instead of 1" in found.sentence
