"""Policies that are written down."""

from __future__ import annotations

import doctest
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from policies.errors import InvalidPolicyError, LearningError, PredicateError
from policies.learning import baselines, best_average
from policies.learning.baselines import (
    BusinessRules,
    FixedAction,
    UniformPolicy,
)
from policies.learning.best_average import BestAverage
from policies.log import LoggedDecisions
from policies.policy import Policy, load_policy

ACTIONS = ("no_contact", "email", "call")
CONTEXTS = pd.DataFrame(
    {"recency": [1.0, 40.0, 40.0, np.nan], "segment": ["new", "new", "gold", None]}
)
ELIGIBLE = np.array(
    [[True, True, True], [True, True, False], [True, True, True], [True, False, True]]
)
RULES = BusinessRules(
    ACTIONS, [("recency > 30 AND segment = 'gold'", "call"), ("recency > 5", "call")]
)
BASELINES: list[Policy] = [
    UniformPolicy(ACTIONS),
    FixedAction(ACTIONS, "email", fallback="no_contact"),
    RULES,
]


def test_docstrings_say_what_happens() -> None:
    """The examples in the docstrings run."""
    for module in (baselines, best_average):
        assert doctest.testmod(module).failed == 0


def test_uniform_shares_alike() -> None:
    """Every eligible action of a row gets the same probability."""
    expected = [[1 / 3] * 3, [0.5, 0.5, 0], [1 / 3] * 3, [0.5, 0, 0.5]]
    assert np.allclose(UniformPolicy(ACTIONS).distribution(None, ELIGIBLE), expected, atol=1e-15)


def test_fixed_action_falls_back() -> None:
    """The fixed action where it is eligible, else the fallback, else uniform over what is."""
    plain = FixedAction(ACTIONS, "email").distribution(None, ELIGIBLE)
    assert plain.tolist() == [[0, 1, 0], [0, 1, 0], [0, 1, 0], [0.5, 0, 0.5]]
    kept = FixedAction(ACTIONS, "email", fallback="no_contact").distribution(None, ELIGIBLE)
    assert kept.tolist() == [[0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]
    neither = FixedAction(ACTIONS, "no_contact", fallback="email")
    assert neither.distribution(None, [[False, False, True]]).tolist() == [[0, 0, 1]]


def test_first_rule_that_holds_and_is_eligible_wins() -> None:
    """Rules are tried in order; a null or an ineligible action passes on; then the fallback."""
    policy = BusinessRules(
        ACTIONS, [("recency > 30", "call"), ("recency > 0", "email"), ("segment IS NULL", "call")]
    )
    expected = [[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert policy.distribution(CONTEXTS, ELIGIBLE).tolist() == expected
    assert RULES.distribution(CONTEXTS, ELIGIBLE)[:, 0].tolist() == [1, 1, 0, 1]


def test_business_rules_name_what_is_wrong() -> None:
    """A missing column, predicate or action is a typed error that names it."""
    with pytest.raises(InvalidPolicyError, match="did you mean 'recency'"):
        BusinessRules(ACTIONS, [("recencey > 3", "call")]).distribution(CONTEXTS)
    with pytest.raises(InvalidPolicyError, match="contexts are needed"):
        RULES.distribution(None, ELIGIBLE)
    with pytest.raises(PredicateError):
        BusinessRules(ACTIONS, [("recency >", "call")])
    with pytest.raises(InvalidPolicyError, match="did you mean 'email'"):
        BusinessRules(ACTIONS, [("recency > 1", "emial")])
    with pytest.raises(InvalidPolicyError, match="no action 'sms'"):
        FixedAction(ACTIONS, "sms")
    with pytest.raises(InvalidPolicyError, match="no action 'no_contact'"):
        BusinessRules(["a", "b"], [])


@pytest.mark.parametrize("policy", BASELINES, ids=lambda policy: policy.kind)
def test_saves_loads_and_travels(policy: Policy, tmp_path: Path) -> None:
    """Every baseline comes back from disk and from cloudpickle with the same bits and params."""
    policy.save(tmp_path)
    expected = policy.distribution(CONTEXTS, ELIGIBLE)
    for copy in (load_policy(tmp_path), cloudpickle.loads(cloudpickle.dumps(policy))):
        assert np.array_equal(copy.distribution(CONTEXTS, ELIGIBLE), expected)
        assert copy.params == policy.params
        assert copy.action_ids == ACTIONS
    assert not list(tmp_path.rglob("*.pkl"))


def averages_log(eligible: np.ndarray | None = None) -> LoggedDecisions:
    """Six rows: e-mails earn 1 and 0, calls .5 with heavy weights, no contact 0."""
    return LoggedDecisions(
        ACTIONS,
        np.array([1, 1, 2, 2, 0, 0]),
        np.array([0.5, 0.25, 0.1, 0.1, 0.4, 0.4]),
        np.array([1.0, 0.0, 0.5, 0.5, 0.0, 0.0]),
        eligible,
        contexts=pd.DataFrame(index=range(6)),
    )


def test_the_best_average_by_hand() -> None:
    """Averages are weighted by 1 / probability and pulled to the overall one as by 10 rows."""
    policy = BestAverage(ACTIONS).fit(averages_log())
    means = np.array([0.0, (2 * 1.0 + 4 * 0.0) / 6, 0.5])
    rows = np.array([2.0, 6**2 / (2**2 + 4**2), 2.0])
    overall = (rows * means).sum() / rows.sum()
    expected = (rows * means + 10 * overall) / (rows + 10)
    np.testing.assert_allclose(policy.averages, expected)
    np.testing.assert_allclose(policy.expected_reward(CONTEXTS), np.tile(expected, (4, 1)))
    found = policy.distribution(None, ELIGIBLE)
    assert found.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_the_best_average_learns_from_choices_only() -> None:
    """Rows without a choice teach it nothing, and parts of a log teach what the whole does."""
    eligible = np.ones((6, 3), dtype=bool)
    eligible[0] = [False, True, False]
    log = averages_log(eligible)
    whole = BestAverage(ACTIONS).fit(log)
    assert whole.averages == BestAverage(ACTIONS).fit(log[1:]).averages
    np.testing.assert_allclose(
        BestAverage(ACTIONS).fit([log[:3], log[3:]]).averages, whole.averages
    )


def test_an_average_that_was_not_learned_is_refused() -> None:
    """Deciding by averages that are not there, or are no numbers, is an error."""
    with pytest.raises(LearningError, match="best_average has not learned yet"):
        BestAverage(ACTIONS).distribution(None, ELIGIBLE)
    for wrong in ([1.0], [1.0, np.nan, 0.0]):
        with pytest.raises(InvalidPolicyError, match="3 actions need as many finite averages"):
            BestAverage(ACTIONS, wrong)


def test_baselines_go_on_with_other_actions() -> None:
    """A new action starts from the mean of the averages; what cannot do without an action says so."""
    now = ("call", "letter", "no_contact")
    known = BestAverage(ACTIONS, [0.1, 0.2, 0.5]).for_actions(now)
    assert known.averages == pytest.approx([0.5, 0.3, 0.1])
    assert UniformPolicy(ACTIONS).for_actions(now).action_ids == now
    assert RULES.for_actions(now).distribution(CONTEXTS)[1].tolist() == [1, 0, 0]
    with pytest.raises(InvalidPolicyError, match="there is no action 'email'"):
        FixedAction(ACTIONS, "email").for_actions(now)
