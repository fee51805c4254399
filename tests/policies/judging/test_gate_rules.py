"""One list of rules is behind the gate's verdict and a comparison's."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from policies.judging.gate import Gate
from policies.judging.rules import NEEDED, TEXTS, RuleInput, read_rules, reasons, verdict_of
from policies.judging.values import compare
from policies.sequences.days import day_sums

SOUND = RuleInput(
    low=0.01, high=0.03, limit=-0.005, days=8, min_days=7, effective_n=900.0, min_effective_n=100.0
)
LACKS = {
    "log": {"problems": ("weights are off",)},
    "range": {"range": "learned"},
    "days": {"days": 6},
    "effective_n": {"effective_n": 99.0},
    "better": {"low": -0.005},
}


@pytest.mark.parametrize("name", LACKS)
def test_a_promotion_needs_every_rule_but_worse(name: str) -> None:
    """Any one rule that fails holds a promotion, with its reading, limit, code and text."""
    assert verdict_of(read_rules(SOUND)) == "promote"
    readings = read_rules(dataclasses.replace(SOUND, **LACKS[name]))
    assert [each for each in NEEDED["promote"] if not readings[each].holds] == [name]
    assert verdict_of(readings) == "hold"
    text = reasons({each: dataclasses.asdict(reading) for each, reading in readings.items()})
    assert readings[name].code in TEXTS
    assert text


@pytest.mark.parametrize("name", LACKS)
def test_a_rejection_needs_log_range_and_worse(name: str) -> None:
    """Few days and a small effective sample size do not save a candidate that is worse."""
    low = dataclasses.replace(SOUND, low=-0.05, high=-0.01)
    assert verdict_of(read_rules(low)) == "reject"
    changed = {**LACKS[name], "low": -0.05}
    found = verdict_of(read_rules(dataclasses.replace(low, **changed)))
    assert found == ("hold" if name in ("log", "range") else "reject")


def test_equal_actions_have_a_code_of_their_own() -> None:
    """Candidates that would act the same are told from those with little evidence."""
    readings = read_rules(dataclasses.replace(SOUND, effective_n=0.0))
    assert readings["effective_n"].code == "effective_n_none"


@pytest.mark.parametrize("seed", range(200))
def test_the_bounds_alone_decide_as_the_contract_says(seed: int) -> None:
    """promote: low > limit; reject: high < limit; else hold. All rules agree where none else fails."""
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.choice([-math.inf, -0.02, -0.01, 0.0, 0.01, math.inf], 2))
    limit = float(rng.choice([0.0, -0.01, -0.02]))
    judged = RuleInput(low, high, limit)
    expected = "promote" if low > limit else "reject" if high < limit else "hold"
    assert verdict_of(read_rules(judged, ("better", "worse"))) == expected
    assert verdict_of(read_rules(judged)) == expected


@pytest.mark.parametrize("seed", range(40))
def test_gate_and_comparison_agree_on_the_same_numbers(seed: int, bandit: Any, always: Any) -> None:
    """An untuned gate with the comparison's alpha, margin and no minimum gives its verdict."""
    rng = np.random.default_rng(seed)
    n, rates = int(rng.integers(50, 4_000)), rng.uniform(0.05, 0.6, 2)
    log = bandit(seed, n, [0.5, 0.5], rates, days=np.arange(n) // 500)
    margin = float(rng.choice([0.0, 0.02, 0.2]))
    pair = always(n, 2, 1), always(n, 2, 0)
    found = compare(log, *pair, estimator="ips", margin=margin)
    first = 6 / math.pi**2  # the share of the error budget of the first lineage
    gate = Gate((1 - found.confidence) / 2 / first, margin, min_effective_n=0.0)
    judged = gate.judge(day_sums(log, *pair, estimator="ips"), "staging")
    assert (judged.low, judged.high) == pytest.approx((found.low, found.high), rel=1e-12)
    assert judged.verdict == found.verdict
    assert judged.effective_n == pytest.approx(found.effective_n)
