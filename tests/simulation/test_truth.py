"""Truth: closed forms against brute force, and estimates on histories against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from policies import compare, cross_fit, evaluate
from policies.deciding.deployed import AsDeployed, Exploration
from policies.deciding.groups import Groups
from policies.errors import InvalidLogError
from policies.learning.baselines import BusinessRules, FixedAction, UniformPolicy
from policies.log import LoggedDecisions
from policies.policy import Policy
from simulation import SCENARIOS, World, scenario
from simulation.best_policy import BestFromContexts
from simulation.candidates import Parted, Worst

Floats = npt.NDArray[np.float64]


def five_policies(world: World, log: LoggedDecisions) -> dict[str, Policy]:
    """Policies from bad to good."""
    ids = world.action_ids
    return {
        "rules": world.incumbent,
        "logging": world.logging_policy,
        "uniform": UniformPolicy(ids),
        "push": FixedAction(ids, "app_push", "no_contact"),
        "best": world.best_policy(log),
    }


@pytest.mark.parametrize("reward", ["visits", "money"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_truth_equals_brute_force(name: str, reward: str) -> None:
    """In every scenario, for 5 policies, true_value is the mean of rewards redrawn many times."""
    world = scenario(name, customers=60, seed=5, reward=reward)
    log = world.history(58)
    assert log.contexts is not None
    assert log.customer_id is not None
    rows, costs = world.rows(log.customer_id), world.worth * np.asarray(world.catalogue.costs)
    rng = np.random.default_rng(0)
    for kind, policy in five_policies(world, log).items():
        edges = policy.distribution(log.contexts, log.eligible).cumsum(axis=1)
        means = []
        for draw in range(60):
            again = replace(world.response, salt=f"again {draw}")
            action = (rng.random((len(log), 1)) >= edges).sum(axis=1).clip(0, edges.shape[1] - 1)
            did = again.answer(rows, log.decision_date, action, log.contexts)
            earned = did.visit if reward == "visits" else did.cents / 100
            means.append((earned * did.received - costs[action]).mean())
        error = np.std(means, ddof=1) / np.sqrt(len(means))
        assert abs(world.true_value(policy, log) - np.mean(means)) < 3.8 * error, kind


def test_live_value_equals_running_the_policy() -> None:
    """For 5 policies live_value is the mean reward of separate runs, within its error."""
    world = scenario("stable", customers=400, seed=2)
    for name, policy in five_policies(world, world.history(1)).items():
        value, std_error = world.live_value(policy, days=15)
        means = []
        for draw in range(8):
            fresh = replace(world, response=replace(world.response, salt=f"fresh {draw}"))
            means.append(fresh.history(15, policy).reward.mean())
        error = np.hypot(np.std(means, ddof=1) / np.sqrt(len(means)), std_error)
        assert abs(value - np.mean(means)) < 3.5 * error, name
        assert 0 < std_error < 0.004


def test_live_value_depends_on_its_seed_only(world: World) -> None:
    """The same seed gives the same live value, another one a close one."""
    values = [world.live_value(world.incumbent, days=10, seed=seed)[0] for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
    assert values[0] == pytest.approx(values[2], abs=0.01)


def test_ips_and_dr_on_histories_are_unbiased() -> None:
    """Over 12 worlds IPS and DR minus truth average to zero, and err as much as they claim."""
    scores: dict[tuple[str, str], list[float]] = {}
    for seed in range(12):
        world = scenario("stable", customers=300, seed=seed)
        log = world.history(20)
        model = cross_fit(log)
        for name, policy in five_policies(world, log).items():
            table = evaluate(log, policy, estimators=("ips", "dr"), expected_reward=model)
            true = world.true_value(policy, log)
            for kind, row in table.iterrows():
                score = (row["value"] - true) / row["std_error"]
                scores.setdefault((name, str(kind)), []).append(score)
    for key, z in scores.items():
        assert abs(np.mean(z)) < 3 / np.sqrt(len(z)), key
        assert 0.4 < np.std(z) < 1.7, key


def test_expected_reward_is_the_mean_of_what_was_earned(world: World) -> None:
    """Logged rewards minus the logged action's expected reward average to zero."""
    log = world.history(40)
    expected = world.expected_reward(log)
    assert expected.shape == log.eligible.shape
    rest = log.reward - expected[np.arange(len(log)), log.action]
    assert abs(rest.mean()) < 3.5 * rest.std() / np.sqrt(len(log))


def test_expected_reward_follows_the_logs_action_order(world: World) -> None:
    """A log with its actions in another order gets its columns in that order."""
    log = world.history(2)
    order = np.arange(log.n_actions)[::-1]
    turned = LoggedDecisions(
        action_ids=tuple(np.array(log.action_ids)[order]),
        action=log.n_actions - 1 - log.action,
        action_probability=log.action_probability,
        reward=log.reward,
        eligible=log.eligible[:, order],
        contexts=log.contexts,
        decision_date=log.decision_date,
        customer_id=log.customer_id,
    )
    np.testing.assert_array_equal(
        world.expected_reward(turned), world.expected_reward(log)[:, order]
    )
    one, two = world.best_policy(log), world.best_policy(turned)
    assert two.action_ids == turned.action_ids
    assert world.true_value(one, log) == pytest.approx(world.true_value(two, turned))


def test_true_value_takes_a_distribution(world: World) -> None:
    """A policy and its own distribution have the same true value; a wrong shape is refused."""
    log = world.history(3)
    target = world.logging_policy.distribution(log.contexts, log.eligible)
    assert world.true_value(target, log) == world.true_value(world.logging_policy, log)
    with pytest.raises(InvalidLogError, match="shape"):
        world.true_value(target[:, 1:], log)
    anonymous = LoggedDecisions(log.action_ids, log.action, log.action_probability, log.reward)
    with pytest.raises(InvalidLogError, match="customer_id"):
        world.expected_reward(anonymous)


def test_best_policy_beats_the_rules_clearly() -> None:
    """In every seed the best policy from contexts earns at least .03 more than the rules."""
    for seed in range(5):
        world = scenario("stable", customers=800, seed=seed)
        log = world.history(28)
        best = world.true_value(world.best_policy(log), log)
        assert best - world.true_value(world.incumbent, log) >= 0.03
        assert best > world.true_value(UniformPolicy(world.action_ids), log) + 0.03


def test_best_policy_leaves_only_tastes_on_the_table() -> None:
    """No choice by context segments earns more: within each, the best action's mean is highest."""
    world = scenario("stable", customers=4000, seed=0)
    log = world.history(4, UniformPolicy(world.action_ids))
    assert log.contexts is not None
    best = world.best_policy(log).distribution(log.contexts, log.eligible).argmax(axis=1)
    expected = world.expected_reward(log)
    keys = log.contexts[["age_band", "region", "plan", "contacts_7d"]].astype(str).agg("|".join, 1)
    keys = keys + "|" + np.packbits(log.eligible, axis=1)[:, 0].astype(str)
    for _, rows in keys.groupby(keys).groups.items():
        if len(rows) >= 40:
            gain = expected[rows] - expected[rows, best[rows]][:, None]
            gain = np.where(log.eligible[rows], gain, -1.0)
            error = gain.std(axis=0) / np.sqrt(len(rows))
            assert (gain.mean(axis=0) <= 4.5 * error + 1e-12).all()


def test_in_no_effect_the_best_is_no_contact() -> None:
    """Where contacts do nothing the best policy saves their cost."""
    world = scenario("no_effect", customers=200, seed=0)
    log = world.history(5)
    best = world.best_policy(log).distribution(log.contexts, log.eligible)
    assert (best[:, world.action_ids.index("no_contact")] == 1).all()
    assert world.true_value(world.best_policy(log), log) >= world.true_value(world.incumbent, log)


def test_uniform_logging_earns_like_published_campaigns() -> None:
    """Mean reward under uniform logging lies between .12 and .15."""
    world = scenario("stable", customers=1500, seed=0)
    assert 0.12 < world.history(28, UniformPolicy(world.action_ids)).reward.mean() < 0.15


def linear_policy(log: LoggedDecisions, target: LoggedDecisions) -> Floats:
    """(n, k) greedy choice of a weighted ridge per action, as a linear learner would make it."""

    def numbers(some: LoggedDecisions) -> Floats:
        assert some.contexts is not None
        frame = some.contexts
        columns = [
            frame[name] == value
            for name in ("age_band", "region", "plan")
            for value in sorted(set(frame[name]))
        ]
        for name in frame.columns[3:]:
            seen = frame[name]
            columns += [seen.fillna(0) / 30, seen.isna()]
        return np.column_stack(columns).astype(np.float64)

    known, wanted = numbers(log), numbers(target)
    scores = np.full(target.eligible.shape, -np.inf)
    for action in range(log.n_actions):
        on = (log.action == action) & log.choice
        weight = np.minimum(1 / log.action_probability[on], 50)
        model = Ridge(alpha=100.0).fit(known[on], log.reward[on], sample_weight=weight)
        scores[:, action] = model.predict(wanted)
    return np.eye(log.n_actions)[np.where(target.eligible, scores, -np.inf).argmax(axis=1)]


@pytest.mark.slow
def test_linear_policy_beats_the_rules_in_all_seeds() -> None:
    """Trained on 70,000 logged decisions a linear policy earns more than the rules, 20 of 20."""
    for seed in range(20):
        world = scenario("stable", customers=2500, seed=seed)
        log = world.history(42)
        fit, later = log.split_by_date("2026-01-29")
        assert len(fit) == 70_000
        gain = world.true_value(linear_policy(fit, later), later)
        assert gain > world.true_value(world.incumbent, later), seed


def test_holdout_and_live_rules_agree() -> None:
    """AsDeployed without floor and uniform share lives exactly like the policy it wraps."""
    world = scenario("stable", customers=100, seed=0)
    wrapped = AsDeployed(world.incumbent, Exploration(0.0, 0.0))
    assert world.live_value(wrapped, 5) == world.live_value(world.incumbent, 5)
    runs = [
        [
            day.events
            for day in world.run(3, "2026-01-01", policy, floor=0.0, groups=Groups(0.0, 0.0))
        ]
        for policy in (wrapped, world.incumbent)
    ]
    assert all(one.equals(two) for one, two in zip(*runs))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dr_ranks_ten_policies_as_the_truth_does(seed: int) -> None:
    """On 50,000 decisions DR ranks 10 policies graded from bad to good: Spearman at least .9."""
    world = scenario("stable", customers=1_000, seed=seed)
    log = world.history(50)
    assert len(log) == 50_000
    best = BestFromContexts(world.response, world.action_ids)
    worst = Worst(world.response, world.action_ids)
    graded = [Parted([best, worst], [share]) for share in np.linspace(0.05, 0.95, 10)]
    model = cross_fit(log)
    truth = [world.true_value(policy, log) for policy in graded]
    estimates = [
        evaluate(log, policy, estimators=("dr",), expected_reward=model).loc["dr", "value"]
        for policy in graded
    ]
    assert np.all(np.diff(truth) > 0)
    assert stats.spearmanr(truth, estimates).statistic >= 0.9


def test_where_contacts_do_nothing_ips_finds_nothing() -> None:
    """In no_effect contact and no contact earn alike by IPS, but for the cost, in 12 worlds."""
    scores = []
    for seed in range(12):
        world = scenario("no_effect", customers=400, seed=seed)
        log = world.history(30)
        nothing = FixedAction(world.action_ids, "no_contact")
        push = FixedAction(world.action_ids, "app_push", "no_contact")
        gap = compare(log, push, nothing, estimator="ips", interval="normal")
        true = world.true_value(push, log) - world.true_value(nothing, log)
        assert -0.001 <= true < 0
        scores.append((gap.difference - true) / gap.std_error)
    assert abs(np.mean(scores)) < 3 / np.sqrt(len(scores))
    assert max(np.abs(scores)) < 3.5


def test_a_rules_effect_is_what_is_missing_without_it() -> None:
    """The effect of a rule is the true value of all rules less that of all others."""
    world = scenario("stable", customers=300, seed=4)
    log = world.history(20)
    effects = world.rule_effects(log)
    assert list(zip(effects["rule"], effects["action"])) == list(world.rules)
    value = world.true_value(world.incumbent, log)
    for number, effect in enumerate(effects["effect"]):
        rest = [rule for other, rule in enumerate(world.rules) if other != number]
        without = world.true_value(BusinessRules(world.action_ids, rest), log)
        assert effect == pytest.approx(value - without, abs=1e-12)
    assert np.abs(effects["effect"]).max() > 0.002
    assert log.contexts is not None
    first = (log.contexts["plan"] == "premium") & log.eligible[:, 5]
    assert effects["share"][0] == pytest.approx(first.mean())
    assert effects["share"].sum() <= 1
