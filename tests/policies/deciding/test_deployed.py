"""A policy as it would act once deployed."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd

from policies.deciding.decision import final_distribution
from policies.deciding.deployed import AsDeployed, Exploration
from policies.learning.baselines import BestAverage, FixedAction, UniformPolicy
from policies.policy import load_policy

ACTIONS = ("no_contact", "email", "call")
CONTEXTS = pd.DataFrame({"recency": [1.0, 40.0, 40.0, np.nan]})
ELIGIBLE = np.array(
    [[True, True, True], [True, True, False], [True, True, True], [True, False, True]]
)


def test_as_deployed_is_the_final_distribution() -> None:
    """A deployed policy's distribution is, bit for bit, its final distribution."""
    wrapped = FixedAction(ACTIONS, "email")
    deployed = AsDeployed(wrapped, Exploration(0.03, 0.2))
    expected = final_distribution(wrapped, CONTEXTS, ELIGIBLE, floor=0.03, uniform_share=0.2)
    assert np.array_equal(deployed.distribution(CONTEXTS, ELIGIBLE), expected)


def test_as_deployed_keeps_the_reward_model() -> None:
    """The expected reward of a deployed policy is the wrapped one's."""

    class Knows(UniformPolicy):
        def expected_reward(self, contexts: pd.DataFrame) -> np.ndarray:
            return np.tile([0.1, 0.2, 0.3], (len(contexts), 1))

    rewards = AsDeployed(Knows(ACTIONS), Exploration(0.0, 0.0)).expected_reward(CONTEXTS)
    assert rewards is not None
    assert rewards[1].tolist() == [0.1, 0.2, 0.3]


def test_params_are_flat() -> None:
    """A deployed policy describes itself and what it wraps in one flat dict."""
    params = AsDeployed(FixedAction(ACTIONS, "call"), Exploration(0.01, 0.1)).params
    assert params["kind"] == "as_deployed"
    assert (params["floor"], params["uniform_share"]) == (0.01, 0.1)
    assert (params["policy.kind"], params["policy.action"]) == ("fixed", "call")


def test_a_deployed_policy_saves_loads_and_travels(tmp_path: Path) -> None:
    """A deployed policy comes back from disk and from cloudpickle with the same bits and params."""
    policy = AsDeployed(
        AsDeployed(FixedAction(ACTIONS, "call"), Exploration(0.02, 0.0)), Exploration(0.05, 0.1)
    )
    policy.save(tmp_path)
    expected = policy.distribution(CONTEXTS, ELIGIBLE)
    for copy in (load_policy(tmp_path), cloudpickle.loads(cloudpickle.dumps(policy))):
        assert np.array_equal(copy.distribution(CONTEXTS, ELIGIBLE), expected)
        assert copy.params == policy.params
        assert copy.action_ids == ACTIONS


def test_a_deployed_policy_goes_on_with_other_actions() -> None:
    """For changed actions the wrapped policy changes, and the exploration stays."""
    now = ("call", "letter", "no_contact")
    deployed = AsDeployed(
        BestAverage(ACTIONS, [0.1, 0.2, 0.5]), Exploration(0.05, 0.1)
    ).for_actions(now)
    assert deployed.action_ids == now
    assert deployed.params["floor"] == 0.05
