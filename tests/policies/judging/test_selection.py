"""Selection takes the recipe that is surely good, judged by rows that it never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from policies.deciding.deployed import AsDeployed, Exploration
from policies.errors import LearningError
from policies.estimating.reward_model import fit_reward_model
from policies.judging.selection import Selection, default_grid, select
from policies.judging.values import compare, evaluate
from policies.learning.averaged import Averaged
from policies.learning.baselines import FixedAction, UniformPolicy
from policies.learning.vowpal.policy import VowpalPolicy
from policies.log import LoggedDecisions
from policies.policy import Policy

IDS = ("none", "email", "call")
NONE = Exploration(floor=0.0, uniform_share=0.0)
Floats = np.ndarray[Any, np.dtype[np.float64]]


def truth(contexts: pd.DataFrame, effect: float) -> Floats:
    """The (n, 3) expected rewards: `email` suits large x and `call` small ones, by `effect`."""
    x = contexts["x"].to_numpy()
    means = np.column_stack([np.full(len(x), 0.3), 0.35 + effect * x, 0.3 - effect * x])
    return np.clip(means, 0, 1)


def make_log(n: int, seed: int, effect: float = 0.2) -> LoggedDecisions:
    """n uniform decisions with 0/1 rewards; nine of ten columns are noise."""
    random = np.random.default_rng(seed)
    contexts = pd.DataFrame(random.normal(size=(n, 10)), columns=["x", *"abcdefghi"])
    action = random.integers(3, size=n)
    reward = random.random(n) < truth(contexts, effect)[np.arange(n), action]
    return LoggedDecisions(
        IDS, action, np.full(n, 1 / 3), reward.astype(float), contexts=contexts, reward_range=(0, 1)
    )


def true_value(policy: Policy, effect: float) -> float:
    """What the policy's own choices earn on fresh contexts."""
    contexts = make_log(5000, seed=99).contexts
    assert contexts is not None
    return float((policy.distribution(contexts) * truth(contexts, effect)).sum(axis=1).mean())


def recipes() -> list[Policy]:
    """The default grid and every fixed action."""
    return [*default_grid(IDS), *(FixedAction(IDS, action) for action in IDS)]


def selected(effect: float, **settings: Any) -> Selection:
    """A selection in a world of this effect, against uniform."""
    given: dict[str, Any] = {"exploration": NONE, **settings}
    logs = make_log(4000, 1, effect), make_log(4000, 2, effect)
    return select(*logs, recipes(), UniformPolicy(IDS), **given)


def test_personalising_wins_where_it_pays() -> None:
    """Where contexts decide, a learned policy is chosen, and is better than any fixed action."""
    best = selected(effect=0.2).best
    assert isinstance(best, VowpalPolicy)
    fixed = max(true_value(FixedAction(IDS, action), 0.2) for action in IDS)
    assert true_value(best, 0.2) > fixed + 0.05


def test_the_best_fixed_action_wins_where_personalising_does_not_pay() -> None:
    """Where contexts say nothing, what is chosen loses next to nothing to the best action."""
    chosen = selected(effect=0.0)
    assert true_value(chosen.best, 0.0) >= 0.35 - 0.005
    assert chosen.table.loc["best_average", "low"] >= chosen.table["low"].max() - 0.005


def test_an_uncertain_promise_loses_to_a_sure_value() -> None:
    """A recipe whose value rests on a handful of rows is not chosen for a higher estimate."""
    n = 600
    action = np.zeros(n, dtype=np.int64)
    action[:6] = 1  # `email` was drawn six times, and four of those paid
    reward = np.zeros(n)
    reward[:4], reward[6::2] = 1.0, 1.0
    probability = np.where(action == 1, 0.01, 0.99)
    log = LoggedDecisions(("none", "email"), action, probability, reward, reward_range=(0, 1))
    rivals = [FixedAction(log.action_ids, each) for each in log.action_ids]
    chosen = select(log, log, rivals, rivals[0], exploration=NONE)
    assert chosen.table.loc["fixed:email", "value"] > chosen.table.loc["fixed:none", "value"]
    assert chosen.best.recipe == "fixed:none"


@pytest.mark.parametrize(("effect", "averages"), [(0.05, True), (0.2, False)])
def test_what_cannot_be_told_apart_is_averaged(effect: float, averages: bool) -> None:
    """Recipes within a paired standard error of the best are averaged, unless that is worse."""
    chosen = selected(effect)
    q = fit_reward_model(make_log(4000, 1, effect)).predict(make_log(4000, 2).contexts)
    late, learners = make_log(4000, 2, effect), [each.recipe for each in default_grid(IDS)]
    alone = chosen.table[~chosen.table.index.str.startswith("averaged")]
    best = chosen.policies[str(alone["low"].idxmax())]

    def behind(name: str) -> bool:
        found = compare(late, chosen.policies[name], best, expected_reward=q, interval="normal")
        return found.difference < -found.std_error

    near = [name for name in learners if not behind(name)]
    assert 1 < len(near) < len(learners)
    [average] = [each for each in chosen.policies.values() if isinstance(each, Averaged)]
    assert [each.recipe for each in average.members] == near
    assert (chosen.best is average) == (not behind(average.recipe)) == averages


def test_parts_of_a_log_select_what_the_whole_does() -> None:
    """An earlier log in parts gives the table that the log in one piece gives."""
    early, late = make_log(3000, 1), make_log(2000, 2)
    whole = select(early, late, default_grid(IDS)[:3], UniformPolicy(IDS), exploration=NONE)
    parts = [early[:1000], early[1000:]]
    in_parts = select(parts, late, default_grid(IDS)[:3], UniformPolicy(IDS), exploration=NONE)
    pd.testing.assert_frame_equal(in_parts.table, whole.table)


def test_what_looks_worse_than_the_incumbent_is_not_acceptable() -> None:
    """The chosen one must not be below the incumbent by more than the margin."""
    early, late = make_log(2000, 1), make_log(2000, 2)

    class Oracle(Policy):
        """The best action for each row."""

        kind = "oracle"

        def _weights(self, contexts: Any, eligible: Any) -> Any:
            return np.eye(3)[truth(contexts, 0.2).argmax(axis=1)]

        def _state(self) -> dict[str, Any]:
            return {}

    recipes = [FixedAction(IDS, "none")]
    found = select(early, late, recipes, Oracle(IDS), exploration=NONE, margin=0.05)
    assert found.table["difference"].iloc[0] < -0.05
    assert not found.acceptable
    assert select(early, late, recipes, Oracle(IDS), exploration=NONE, margin=0.5).acceptable
    assert select(
        early, late, recipes, FixedAction(IDS, "none"), exploration=NONE, margin=1e-9
    ).acceptable


def test_values_are_those_of_the_policy_as_it_would_act() -> None:
    """A line is DR of the final distribution with the reward model of the fitting rows."""
    early, late = make_log(1500, 1), make_log(1500, 2)
    recipe = VowpalPolicy(IDS, learning_rate=0.1)
    added = Exploration(floor=0.05, uniform_share=0.2)
    chosen = select(
        early, late, [recipe], FixedAction(IDS, "none"), exploration=added, confidence=0.975
    )
    expected = fit_reward_model(early).predict(late.contexts)

    def valued(policy: Policy) -> pd.Series[Any]:
        acting = AsDeployed(policy, added)
        return evaluate(late, acting, estimators=["dr"], expected_reward=expected).loc["dr"]

    by_hand, line = valued(VowpalPolicy(IDS, learning_rate=0.1).fit(early)), chosen.table.iloc[0]
    for name in ("value", "std_error", "low", "n", "n_choice", "effective_n"):
        assert line[name] == pytest.approx(by_hand[name])  # one-sided .975 is two-sided .95
    incumbent = valued(FixedAction(IDS, "none"))["value"]
    assert line["incumbent_value"] == pytest.approx(incumbent)
    assert line["difference"] == pytest.approx(by_hand["value"] - incumbent)
    assert line["difference_low"] == pytest.approx(
        line["difference"] - 1.96 * line["difference_std_error"], rel=1e-3
    )


def test_the_table_is_sorted_and_names_every_recipe() -> None:
    """The best is the first line, bounds fall, and every fitted policy is found by its name."""
    chosen = selected(effect=0.1, exploration=Exploration(0.02, 0.1))
    assert chosen.policies[str(chosen.table.index[0])] is chosen.best
    assert chosen.table["chosen"].tolist() == [True] + [False] * (len(chosen.table) - 1)
    assert chosen.table["low"].iloc[1:].is_monotonic_decreasing
    assert set(chosen.table.index) == set(chosen.policies) >= {r.recipe for r in recipes()}
    assert (chosen.table["low"] < chosen.table["value"]).all()


def test_rows_that_select_never_fit() -> None:
    """Other rewards on the selecting rows leave every fitted policy as it was, to the byte."""
    early, late = make_log(800, 1), make_log(800, 2)
    grid = default_grid(IDS)
    first = select(early, late, grid, UniformPolicy(IDS), exploration=NONE)
    other = select(early, make_log(800, 3, effect=-0.2), grid, UniformPolicy(IDS), exploration=NONE)
    contexts = late.contexts
    assert contexts is not None
    for name in (each.recipe for each in grid):
        policy = first.policies[name]
        left, right = policy.expected_reward(contexts), other.policies[name].expected_reward(
            contexts
        )
        assert left is not None
        assert np.array_equal(left, right)


def test_recipes_stay_unfitted() -> None:
    """Selecting fits copies: the recipes can be used again for another log."""
    recipe = VowpalPolicy(IDS)
    contexts = make_log(10, 0).contexts
    assert contexts is not None
    select(make_log(500, 1), make_log(500, 2), [recipe], UniformPolicy(IDS), exploration=NONE)
    with pytest.raises(LearningError, match="has not learned yet"):
        recipe.distribution(contexts)


def test_the_grid_shares_settings_and_has_distinct_names() -> None:
    """Settings given to the grid reach every recipe, and no two recipes have one name."""
    average, *learners = default_grid(IDS, exploration="epsilon:0.1", features=["x"])
    assert average.recipe == "best_average"
    assert {each.params["exploration"] for each in learners} == {"epsilon:0.1"}
    assert len({each.recipe for each in learners}) == len(learners) == 6
    own = default_grid(IDS, grid=[{"cb_type": "dr"}, {"passes": 2}], learning_rate=0.3)
    assert [each.recipe[:10] for each in own[1:]] == ["dr-lr0.3-p", "mtr-lr0.3-"]


def test_logs_that_do_not_go_together_are_refused() -> None:
    """A later log without the earlier one's contexts, and no incumbent, are errors that say so."""
    early = make_log(300, 1)
    late = LoggedDecisions(IDS, early.action, early.action_probability, early.reward)
    with pytest.raises(LearningError, match="the later one has none"):
        select(early, late, [UniformPolicy(IDS)], UniformPolicy(IDS), exploration=NONE)
    with pytest.raises(LearningError, match="the incumbent is a str, and must be a policy"):
        select(early, early, [UniformPolicy(IDS)], "uniform", exploration=NONE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "settings", "problem"),
    [
        ([], {}, "no recipes"),
        ([VowpalPolicy(IDS), VowpalPolicy(IDS)], {}, "recipe 'mtr-lr0.5-p1-.*' is there twice"),
        ([UniformPolicy(IDS)], {"confidence": 0.5}, "confidence must lie between 0.5 and 1"),
        ([UniformPolicy(IDS)], {"confidence": 1.0}, "confidence must lie between 0.5 and 1"),
    ],
)
def test_selections_that_make_no_sense_are_refused(
    given: list[Policy], settings: dict[str, float], problem: str
) -> None:
    """No recipe, two of one name, or no bound: an error that says so before anything is fitted."""
    log = make_log(50, 1)
    with pytest.raises(LearningError, match=problem):
        select(log, log, given, UniformPolicy(IDS), exploration=NONE, **settings)
