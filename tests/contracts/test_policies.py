"""Every policy there is keeps the contract; a new one is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import policies
from policies import (
    AsDeployed,
    Averaged,
    BestAverage,
    BusinessRules,
    Exploration,
    FixedAction,
    LoggedDecisions,
    Policy,
    UniformPolicy,
    VowpalPolicy,
    final_distribution,
    load_policy,
)
from policies.deciding.decision import draw
from policies.deciding.groups import uniforms
from policies.learning.vowpal.settings import CB_TYPES
from policies.policy import POLICIES

IDS = ("no_contact", "mail", "a b:c|d", "7")


def contexts(n: int, seed: int = 0) -> pd.DataFrame:
    """n rows of two numbers with gaps, a category and a boolean; add what your policy reads."""
    random = np.random.default_rng(seed)
    x = np.where(random.random(n) < 0.1, np.nan, random.normal(size=n))
    return pd.DataFrame(
        {
            "x": x,
            "recency_days": np.where(random.random(n) < 0.2, np.nan, random.integers(1, 90, n)),
            "plan": random.choice(["basic", "plus"], n),
            "active": random.random(n) < 0.5,
        }
    )


def eligible_sets(n: int, seed: int = 1) -> np.ndarray:
    """(n, 4) bool: sets of every size; the first action always belongs to them."""
    eligible = np.random.default_rng(seed).random((n, len(IDS))) < 0.6
    eligible[:, 0] = True
    return eligible


def a_log(n: int = 1_500) -> LoggedDecisions:
    """n uniform decisions whose rewards depend on context and action."""
    shown, random = contexts(n, 2), np.random.default_rng(3)
    action = random.integers(len(IDS), size=n)
    better = 0.2 + 0.3 * ((shown["plan"] == "plus") & (action == 1)) + 0.1 * (action == 2)
    reward = (random.random(n) < better).astype(float)
    return LoggedDecisions(IDS, action, np.full(n, 0.25), reward, contexts=shown)


def learned(**settings: Any) -> VowpalPolicy:
    """A fitted learner."""
    return VowpalPolicy(IDS, learning_rate=0.1, **settings).fit(a_log())


MAKERS: dict[str, Callable[[], Policy]] = {
    "uniform": lambda: UniformPolicy(IDS),
    "fixed": lambda: FixedAction(IDS, "mail", fallback="7"),
    "business_rules": lambda: BusinessRules(IDS, [("x > 0", "mail"), ("plan = 'plus'", "7")]),
    "best_average": lambda: BestAverage(IDS).fit(a_log()),
    "as_deployed": lambda: AsDeployed(learned(), Exploration(0.05, 0.2)),
    "averaged": lambda: Averaged([learned(), learned(bins=4), BestAverage(IDS).fit(a_log())]),
    "vowpal": lambda: learned(exploration="epsilon:0.1"),
}
"""One of each kind. Whoever adds a kind adds a line."""
MORE: dict[str, Callable[[], Policy]] = {
    **{f"vowpal {each}": lambda each=each: learned(cb_type=each) for each in CB_TYPES},  # type: ignore[misc]
    "vowpal softmax": lambda: learned(exploration="softmax:0.05"),
    "vowpal squarecb": lambda: learned(exploration="squarecb:50"),
    "a bag": lambda: Averaged([learned(bootstrap=each) for each in range(3)], "votes"),
    "vowpal described": lambda: learned(bins=4, action_features={"7": {"group": "offer"}}),
}


def kinds() -> set[str]:
    """The kind of every concrete policy that any module of `policies` defines."""
    for module in pkgutil.walk_packages(policies.__path__, "policies."):
        importlib.import_module(module.name)
    found, todo = set(), list(Policy.__subclasses__())
    while todo:
        each = todo.pop()
        todo += each.__subclasses__()
        if each.__module__.startswith("policies.") and not getattr(each, "__abstractmethods__", ()):
            found.add(each.kind)
    return found


def test_every_policy_is_known_and_made_here() -> None:
    """Each policy in the package is registered for loading, and is under this contract."""
    assert kinds() == set(POLICIES) == set(MAKERS)


@pytest.fixture(scope="module", params=[*MAKERS, *MORE])
def policy(request: pytest.FixtureRequest) -> Policy:
    """A policy of each kind."""
    return {**MAKERS, **MORE}[request.param]()


def test_gives_distributions_over_the_eligible(policy: Policy) -> None:
    """Rows sum to 1 within 1e-9, are exactly 0 off the eligible set, and 1 where it has one."""
    shown, eligible = contexts(2_000), eligible_sets(2_000)
    found = policy.distribution(shown, eligible)
    assert found.shape == (2_000, len(IDS))
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-9
    assert (found >= 0).all()
    assert (found[~eligible] == 0).all()
    single = eligible.sum(axis=1) == 1
    assert single.any()
    assert (found[single] == eligible[single]).all()


def test_keeps_the_floor_when_it_acts(policy: Policy) -> None:
    """As it would really act, every eligible action of a choice row has at least the floor."""
    shown, eligible = contexts(2_000), eligible_sets(2_000)
    acts = final_distribution(policy, shown, eligible, floor=0.04, uniform_share=0.0)
    choice = eligible.sum(axis=1) > 1
    assert acts[choice][eligible[choice]].min() >= 0.04
    assert np.abs(acts.sum(axis=1) - 1).max() < 1e-9


def test_neither_order_nor_batch_changes_a_row(policy: Policy) -> None:
    """A row's distribution is the same to the bit in any order and any batch."""
    shown, eligible = contexts(500), eligible_sets(500)
    whole = policy.distribution(shown, eligible)
    order = np.random.default_rng(5).permutation(500)
    mixed = policy.distribution(shown.iloc[order], eligible[order])
    assert np.array_equal(mixed, whole[order])
    parts = [
        policy.distribution(shown.iloc[at : at + 73], eligible[at : at + 73])
        for at in range(0, 500, 73)
    ]
    assert np.array_equal(np.vstack(parts), whole)


def test_is_the_same_after_saving(policy: Policy, tmp_path: Path) -> None:
    """Save and load give the same distribution and expected rewards bit for bit, without pickle."""
    policy.save(tmp_path / "policy")
    again = load_policy(tmp_path / "policy")
    shown, eligible = contexts(500, 7), eligible_sets(500, 8)
    assert np.array_equal(again.distribution(shown, eligible), policy.distribution(shown, eligible))
    expected = policy.expected_reward(shown)
    assert (expected is None) == (again.expected_reward(shown) is None)
    assert expected is None or np.array_equal(again.expected_reward(shown), expected)
    assert again.params == policy.params
    assert again.recipe == policy.recipe
    files = [each.suffix for each in (tmp_path / "policy").rglob("*") if each.is_file()]
    assert set(files) <= {".json", ".npy", ".vw"}


def test_is_drawn_with_its_probabilities(policy: Policy) -> None:
    """The same seed draws the same actions, and a million draws have the stated frequencies."""
    shown, eligible = contexts(1), np.ones((1, len(IDS)), dtype=bool)
    acts = final_distribution(policy, shown, eligible, floor=0.02, uniform_share=0.1)
    n = 1_000_000
    u = uniforms(np.arange(n, dtype=np.uint64), "2026-03-02", "draw")
    drawn = draw(np.broadcast_to(acts, (n, len(IDS))), u)
    assert np.array_equal(drawn[:1_000], draw(np.broadcast_to(acts, (1_000, len(IDS))), u[:1_000]))
    counts = np.bincount(drawn, minlength=len(IDS))
    assert stats.chisquare(counts, acts[0] * n).pvalue > 1e-4


def test_describes_itself_in_a_flat_dict(policy: Policy) -> None:
    """Params name the kind and hold no nested dicts."""
    assert policy.params["kind"] == policy.kind
    assert not any(isinstance(each, dict) for each in policy.params.values())
