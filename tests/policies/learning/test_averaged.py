"""An average of policies decides by the mean of what they expect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from policies.errors import LearningError
from policies.learning.averaged import Averaged, fit_copies
from policies.learning.baselines import FixedAction, UniformPolicy
from policies.learning.best_average import BestAverage
from policies.learning.vowpal.policy import VowpalPolicy
from policies.log import LoggedDecisions

IDS = ("none", "mail", "call")


def a_log() -> LoggedDecisions:
    """Decisions whose rewards depend on a number."""
    random = np.random.default_rng(0)
    x, action = random.normal(size=900), random.integers(3, size=900)
    reward = (random.random(900) < 0.3 + 0.2 * (action == 1) * (x > 0)).astype(float)
    shown = pd.DataFrame({"x": x})
    return LoggedDecisions(IDS, action, np.full(900, 1 / 3), reward, contexts=shown)


def test_the_mean_decides() -> None:
    """Expected rewards are the members' mean, and the best of that is taken."""
    members = [BestAverage(IDS, [0.1, 0.5, 0.0]), BestAverage(IDS, [0.2, 0.0, 0.6])]
    policy, shown = Averaged(members), pd.DataFrame({"x": [1.0, 2.0]})
    np.testing.assert_allclose(policy.expected_reward(shown), [[0.15, 0.25, 0.3]] * 2)
    assert policy.distribution(shown).tolist() == [[0, 0, 1]] * 2
    eager = Averaged(members, exploration="epsilon:0.3").distribution(shown)
    np.testing.assert_allclose(eager, [[0.1, 0.1, 0.8]] * 2)


def test_votes_are_shares_of_members() -> None:
    """With votes an action's probability is exactly the share of members that prefer it."""
    members = [BestAverage(IDS, each) for each in ([0, 1, 0], [0, 1, 0.5], [0, 0, 1], [0, 2, 1])]
    policy, shown = Averaged(members, exploration="votes"), pd.DataFrame({"x": [1.0, 2.0]})
    eligible = np.array([[True, True, True], [True, False, True]])
    found = policy.distribution(shown, eligible)
    np.testing.assert_allclose(found, [[0, 0.75, 0.25], [1 / 8, 0, 7 / 8]])


def test_a_bag_is_sure_where_there_is_much_to_learn_from() -> None:
    """Members of a bag learn differently weighted logs, and agree more the more rows there are."""
    log = a_log()
    bag = Averaged([VowpalPolicy(IDS, bootstrap=each) for each in range(8)], "votes")
    shown = pd.DataFrame({"x": np.linspace(-2, 2, 41)})
    unsure = bag.fit(log[:60]).distribution(shown).max(axis=1).mean()
    sure = bag.fit(log).distribution(shown).max(axis=1).mean()
    assert unsure < sure
    one, same, other = (
        VowpalPolicy(IDS, bootstrap=each).fit(log)._learned.model for each in (1, 1, 2)
    )
    assert one == same != other
    in_parts = VowpalPolicy(IDS, bootstrap=1).fit([log[:100], log[100:]])
    assert in_parts._learned.model == one


def test_its_name_is_that_of_its_members() -> None:
    """The same members give the same recipe whatever they learned; others give another."""
    one, two = VowpalPolicy(IDS), VowpalPolicy(IDS, passes=2)
    policy = Averaged([one, two])
    assert policy.name.startswith("averaged-2-")
    assert Averaged([VowpalPolicy(IDS), two]).fit(a_log()).name == policy.name
    others = [Averaged([one]), Averaged([two, one]), Averaged([one, two], "epsilon:0.1")]
    assert len({policy.name, *(each.name for each in others)}) == 4


def test_fitting_it_fits_copies_of_its_members() -> None:
    """Members learn the log, and the policies it was made of stay as they were."""
    log, learner = a_log(), VowpalPolicy(IDS)
    policy = Averaged([learner, BestAverage(IDS)]).fit(log)
    assert log.contexts is not None
    alone = VowpalPolicy(IDS).fit(log).expected_reward(log.contexts)
    average = BestAverage(IDS).fit(log).expected_reward(log.contexts)
    assert alone is not None
    np.testing.assert_allclose(policy.expected_reward(log.contexts), (alone + average) / 2)
    with pytest.raises(LearningError, match="has not learned yet"):
        learner.expected_reward(log.contexts)


def test_many_are_fitted_at_once_as_one_by_one() -> None:
    """How many learn at a time changes nothing, and what cannot learn is given back as it is."""
    log = a_log()
    recipes = [VowpalPolicy(IDS, passes=each) for each in (1, 2, 3)]
    fixed = FixedAction(IDS, "mail")
    together = fit_copies([*recipes, fixed], log, workers=3)
    alone = fit_copies([*recipes, fixed], log, workers=1)
    assert together[-1] is fixed
    for left, right in zip(together, alone):
        assert np.array_equal(left.distribution(log.contexts), right.distribution(log.contexts))


def test_it_goes_on_with_other_actions() -> None:
    """Its members are read out for the actions there are."""
    policy = Averaged([VowpalPolicy(IDS), BestAverage(IDS)]).fit(a_log())
    assert policy.for_actions(("call", "none")).action_ids == ("call", "none")


def test_what_cannot_be_averaged_is_refused() -> None:
    """No member, members of other actions, and members without rewards are errors by name."""
    shown = pd.DataFrame({"x": [1.0]})
    with pytest.raises(LearningError, match="nothing to average"):
        Averaged([])
    with pytest.raises(LearningError, match=r"uniform has the actions \('a', 'b'\), not"):
        Averaged([UniformPolicy(IDS), UniformPolicy("ab")])
    with pytest.raises(LearningError, match="uniform has no expected rewards to average"):
        Averaged([UniformPolicy(IDS)]).distribution(shown)
    with pytest.raises(LearningError, match="decides by contexts"):
        Averaged([BestAverage(IDS, [0, 0, 1])]).distribution(None, np.ones((1, 3), dtype=bool))
