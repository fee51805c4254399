"""The final distribution, the draw, and the decision."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from policies.catalogue import Action, Catalogue
from policies.deciding.decision import (
    REASONS,
    Decisions,
    decide,
    decision_ids,
    draw,
    final_distribution,
)
from policies.deciding.deployed import AsDeployed, Exploration
from policies.deciding.groups import GROUPS, Groups, uniforms
from policies.errors import CapacityError, CatalogueError, InvalidPolicyError
from policies.learning.baselines import BusinessRules, FixedAction, UniformPolicy

DAY = "2026-01-15"
CATALOGUE = Catalogue(
    "EUR",
    (
        Action("no_contact", "No contact", "none"),
        Action("email", "E-mail", "letters", "email"),
        Action("call", "Call", "service", "phone", eligible_when="age >= 18"),
        Action("gift", "Gift", "service", valid_from=date(2026, 2, 1)),
    ),
)
IDS = CATALOGUE.action_ids
RULES = BusinessRules(IDS, [("age > 60", "call"), ("age > 30", "email")])


def customers(n: int) -> pd.DataFrame:
    """Customers of whom some are too young, some gave no consent, some have an unknown age."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(n)],
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.integers(10, 90, n)),
            "consent_email": rng.random(n) < 0.7,
            "consent_phone": rng.random(n) < 0.6,
        }
    )


class Knows(FixedAction):
    """Always the e-mail, and knows a reward per action."""

    def expected_reward(self, contexts: pd.DataFrame) -> np.ndarray:
        """The same four rewards for everybody."""
        return np.tile([0.0, 0.1, 0.2, 0.3], (len(contexts), 1))


def decided(frame: pd.DataFrame, **changes: Any) -> Decisions:
    """A usual day, with what a test changes."""
    usual: dict[str, Any] = {
        "policy": RULES,
        "date": DAY,
        "floor": 0.02,
        "groups": Groups(uniform=0.1, holdout=0.05, previous=0.1),
        "previous": UniformPolicy(IDS),
    }
    return decide(catalogue=CATALOGUE, frame=frame, **{**usual, **changes})


FRAME = customers(20_000)
USUAL = decided(FRAME)


# --- the final distribution ---------------------------------------------------------------------


def test_final_distribution_by_hand() -> None:
    """Hand-computed rows: first the uniform share alone, then a floor above it.

    With three eligible actions and u = .06 the others get u / 3 = .02. A floor of .05 then needs
    l = (.05 - .02) / (1/3 - .02), which leaves .9 on the best; a single action keeps 1.
    """
    policy = FixedAction(IDS, "email")
    eligible = np.array(
        [[True, True, True, False], [False, True, True, False], [False] * 3 + [True]]
    )
    low = final_distribution(policy, None, eligible, floor=0.01, uniform_share=0.06)
    assert np.allclose(low, [[0.02, 0.96, 0.02, 0], [0, 0.97, 0.03, 0], [0, 0, 0, 1]], atol=1e-15)
    high = final_distribution(policy, None, eligible, floor=0.05, uniform_share=0.06)
    assert np.allclose(high, [[0.05, 0.9, 0.05, 0], [0, 0.95, 0.05, 0], [0, 0, 0, 1]], atol=1e-15)


def test_nothing_changes_where_the_floor_holds() -> None:
    """A distribution that keeps the floor already is returned bit for bit, so floors do not pile up."""
    once = AsDeployed(RULES, Exploration(0.03, 0.1))
    eligible = USUAL.eligible
    again = final_distribution(once, FRAME, eligible, floor=0.03, uniform_share=0.0)
    assert np.array_equal(again, once.distribution(FRAME, eligible))
    assert np.array_equal(
        final_distribution(RULES, FRAME, eligible, floor=0, uniform_share=0),
        RULES.distribution(FRAME, eligible),
    )


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    floor=st.sampled_from([0.0, 0.01, 0.1, 1 / 6, 0.25]),
    share=st.floats(0, 1),
)
def test_floor_holds_exactly(seed: int, floor: float, share: float) -> None:
    """Every eligible action of a choice row has at least the floor, with no rounding below it."""
    rng = np.random.default_rng(seed)
    eligible = rng.random((20, 4)) < 0.6
    eligible[:, 0] = True
    policy = FixedAction(IDS, "call", fallback="no_contact")
    result = final_distribution(policy, None, eligible, floor=floor, uniform_share=share)
    choice = eligible.sum(axis=1) > 1
    assert (result[choice][eligible[choice]] >= floor).all()
    assert (result[~choice].max(axis=1, initial=1) == 1).all()
    assert (result[~eligible] == 0).all()
    assert np.allclose(result.sum(axis=1), 1, atol=1e-9)
    assert (
        result[choice] >= share * eligible[choice] / eligible[choice].sum(1)[:, None] - 1e-12
    ).all()


def test_floor_must_fit() -> None:
    """A floor above 1 / m of some row's m eligible actions is refused with the highest that fits."""
    with pytest.raises(InvalidPolicyError, match="at most 0.25 here"):
        final_distribution(RULES, FRAME, None, floor=0.3, uniform_share=0.0)
    for floor, share in [(-0.1, 0.0), (0.1, 1.2), (float("nan"), 0.0)]:
        with pytest.raises(InvalidPolicyError, match="no share"):
            final_distribution(RULES, FRAME, None, floor=floor, uniform_share=share)


def test_capacity_keeps_floor_and_uniform_share() -> None:
    """A scarce action's expected count fits, and it keeps its floor and its uniform share."""
    eligible = USUAL.eligible
    free = final_distribution(RULES, FRAME, eligible, floor=0.02, uniform_share=0.1)
    limit = 0.6 * free[:, 2].sum()
    tight = final_distribution(
        RULES, FRAME, eligible, floor=0.02, uniform_share=0.1, capacity={2: limit}
    )
    rows = eligible[:, 2] & (eligible.sum(axis=1) > 1)
    kept = np.maximum(0.02, 0.1 / eligible.sum(axis=1))
    assert tight[:, 2].sum() == pytest.approx(limit)
    assert (tight[rows, 2] >= kept[rows] - 1e-12).all()
    assert np.allclose(tight.sum(axis=1), 1)
    with pytest.raises(CapacityError, match="the floor alone"):
        final_distribution(RULES, FRAME, eligible, floor=0.02, uniform_share=0, capacity={2: 1})


# --- the draw -----------------------------------------------------------------------------------


def test_draws_with_the_stated_probabilities() -> None:
    """A million draws have the stated frequencies by a chi-square test."""
    n = 1_000_000
    p = np.array([0.0, 0.5, 0.02, 0.0, 0.48])
    ids = np.arange(n).astype(str).astype(object)
    action = draw(np.tile(p, (n, 1)), uniforms(ids, DAY, "draw"))
    counts = np.bincount(action, minlength=5)
    assert counts[p == 0].tolist() == [0, 0]
    assert stats.chisquare(counts[p > 0], n * p[p > 0]).pvalue > 1e-3


def test_inverts_the_cumulative_distribution() -> None:
    """The action is the first in column order whose cumulative probability exceeds u."""
    rows = np.tile([0.25, 0.0, 0.75], (4, 1))
    assert draw(rows, np.array([0.0, 0.2499, 0.25, 1 - 2**-53])).tolist() == [0, 0, 2, 2]


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    u=st.sampled_from([0.0, 5e-324, 0.5, 1 - 2**-53]),
)
def test_never_draws_what_has_no_probability(seed: int, u: float) -> None:
    """However u and rounding fall, an action of probability 0 is never drawn."""
    rng = np.random.default_rng(seed)
    weights = rng.random((50, 7)) ** 20 * (rng.random((50, 7)) < 0.5)
    weights[:, 3] += 1e-9
    rows = weights / weights.sum(axis=1, keepdims=True)
    action = draw(rows, np.full(50, u))
    assert (rows[np.arange(50), action] > 0).all()


# --- the decision -------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(40)), cut=st.integers(0, 40))
def test_neither_order_nor_batch_changes_a_decision(order: list[int], cut: int) -> None:
    """Any order and any split of the rows gives every customer the same decision, bit for bit."""
    shuffled = FRAME.iloc[order]
    parts = [decided(shuffled[:cut]), decided(shuffled[cut:])]
    for field in fields(Decisions):
        together = np.concatenate([getattr(part, field.name) for part in parts])
        expected = getattr(USUAL, field.name)[order]
        assert np.array_equal(together, expected, equal_nan=together.dtype.kind == "f")


def test_logs_what_was_drawn_from() -> None:
    """The logged probability is the logged distribution's at the action, positive and eligible."""
    rows = np.arange(len(FRAME))
    assert np.array_equal(USUAL.action_probability, USUAL.distribution[rows, USUAL.action])
    assert (USUAL.action_probability > 0).all()
    assert USUAL.eligible[rows, USUAL.action].all()
    assert (USUAL.distribution[~USUAL.eligible] == 0).all()
    final = final_distribution(RULES, FRAME, USUAL.eligible, floor=0.02, uniform_share=0.1)
    ours = USUAL.group <= GROUPS.index("uniform")
    assert np.array_equal(USUAL.distribution[ours], final[ours])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_mixture_is_what_policy_and_uniform_rows_draw_together(share: float) -> None:
    """Over policy and uniform rows the actions come with the mixture that both of them log."""
    day = decided(FRAME, groups=Groups(share, 0.0), previous=None, floor=0.05)
    for pattern in np.unique(day.distribution, axis=0):
        rows = (day.distribution == pattern).all(axis=1)
        counts = np.bincount(day.action[rows], minlength=4)
        some = pattern > 0
        assert counts[~some].sum() == 0
        if some.sum() > 1:
            assert stats.chisquare(counts[some], rows.sum() * pattern[some]).pvalue > 1e-4


def test_uniform_rows_draw_uniformly() -> None:
    """Rows of the group `uniform` draw from the uniform distribution over their eligible set."""
    day = decided(FRAME, groups=Groups(0.5, 0.0), previous=None)
    rows = (day.group == GROUPS.index("uniform")) & (day.eligible.sum(axis=1) == 3)
    counts = np.bincount(day.action[rows], minlength=4)[:3]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_holdout_is_left_alone() -> None:
    """Holdout rows get no contact with probability 1, and are logged so."""
    rows = USUAL.group == GROUPS.index("holdout")
    assert rows.mean() == pytest.approx(0.05, abs=0.01)
    assert (USUAL.action[rows] == 0).all()
    assert (USUAL.action_probability[rows] == 1).all()
    assert (USUAL.distribution[rows] == [1, 0, 0, 0]).all()
    assert set(USUAL.reason[rows]) == {REASONS.index("holdout")}


def test_previous_rows_draw_from_the_old_champion() -> None:
    """Rows of `previous` log and draw the old champion's own final distribution."""
    rows = USUAL.group == GROUPS.index("previous")
    old = final_distribution(
        UniformPolicy(IDS), FRAME[rows], USUAL.eligible[rows], floor=0.02, uniform_share=0.0
    )
    assert np.array_equal(USUAL.distribution[rows], old)
    assert set(USUAL.reason[rows]) == {REASONS.index("previous")}
    with pytest.raises(InvalidPolicyError, match="there is none"):
        decided(FRAME, previous=None)


def test_reasons_by_hand() -> None:
    """Each reason where it belongs: blocked by rules, nothing on offer, best, and not the best."""
    frame = pd.DataFrame(
        {
            "customer_id": [f"r{i}" for i in range(3000)],
            "age": np.repeat([12.0, 40.0, 70.0], 1000),
            "consent_email": np.repeat([False, True, False], 1000),
            "consent_phone": True,
        }
    )
    day = decided(frame, groups=Groups(0, 0), previous=None, floor=0.1)
    names = np.array(REASONS)[day.reason]
    assert set(names[:1000]) == {"no_eligible_action"}
    assert np.array_equal(names[1000:2000] == "exploit", day.action[1000:2000] == 1)
    assert np.array_equal(names[2000:] == "exploit", day.action[2000:] == 2)
    assert set(names[1000:]) == {"exploit", "explore"}
    quiet = Catalogue("EUR", (CATALOGUE.actions[0], CATALOGUE.actions[3]))
    only = decide(
        UniformPolicy(quiet.action_ids), quiet, frame, date=DAY, floor=0.1, groups=Groups(0, 0)
    )
    assert set(np.array(REASONS)[only.reason]) == {"only_choice"}
    every = decided(frame, groups=Groups(1, 0), previous=None)
    assert set(np.array(REASONS)[every.reason]) == {"control_uniform"}


def test_says_what_it_expected() -> None:
    """The expected reward is that of the action taken, by the policy that decided; else NaN."""
    assert np.isnan(USUAL.chosen_expected_reward).all()
    day = decided(FRAME, policy=Knows(IDS, "email"))
    old = day.group == GROUPS.index("previous")
    assert np.isnan(day.chosen_expected_reward[old]).all()
    assert np.array_equal(
        day.chosen_expected_reward[~old], np.array([0, 0.1, 0.2, 0.3])[day.action[~old]]
    )


def test_each_day_is_drawn_anew() -> None:
    """The same customers draw independently on another day or under another salt."""
    same = decided(FRAME, floor=0.2)
    again, tomorrow = decided(FRAME, floor=0.2), decided(FRAME, floor=0.2, date="2026-01-16")
    salted = decided(FRAME, floor=0.2, salt="other")
    assert np.array_equal(same.action, again.action)
    assert (same.action != tomorrow.action).mean() > 0.2
    assert (same.action != salted.action).mean() > 0.2
    assert np.array_equal(same.group, salted.group)


def test_refuses_what_it_cannot_decide_for() -> None:
    """Missing customer ids, or a policy with other actions, are refused."""
    with pytest.raises(CatalogueError, match="customer_id in every row"):
        decided(FRAME.drop(columns="customer_id"))
    with pytest.raises(CatalogueError, match="customer_id in every row"):
        decided(FRAME.assign(customer_id=FRAME["customer_id"].where(FRAME.index != 3)))
    with pytest.raises(InvalidPolicyError, match="UniformPolicy knows a, b"):
        decided(FRAME, policy=UniformPolicy(["a", "b"]))


def test_an_empty_batch_is_decided() -> None:
    """No customers, no decisions."""
    assert decided(FRAME[:0]).action.shape == (0,)


# --- its id -------------------------------------------------------------------------------------

CUSTOMERS = np.array(["a", "a"], dtype=object)


def test_ids_follow_from_customer_and_date() -> None:
    """The same customer and date give the same id, another date gives another id."""
    dates = np.array(["2026-03-02", "2026-03-03"], dtype="datetime64[D]")
    ids = decision_ids(CUSTOMERS, dates).to_pylist()
    assert ids == ["a:2026-03-02:0", "a:2026-03-03:0"]
    hours = dates.astype("datetime64[h]") + np.timedelta64(9, "h")
    assert decision_ids(CUSTOMERS, hours).to_pylist() == ids


def test_one_date_holds_for_all_customers() -> None:
    """A single date gives every customer an id of that day."""
    assert decision_ids(CUSTOMERS, "2026-03-02").to_pylist() == ["a:2026-03-02:0"] * 2
    assert decision_ids(CUSTOMERS[:0], "2026-03-02").to_pylist() == []
