"""The Vowpal Wabbit policy learns exactly and repeatably, and says when a log teaches nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import vowpalwabbit

from policies.errors import InvalidPolicyError, LearningError
from policies.learning import reading
from policies.learning.vowpal import driver
from policies.learning.vowpal.policy import VowpalPolicy
from policies.learning.vowpal.settings import CB_TYPES
from policies.log import LoggedDecisions
from policies.policy import load_policy

IDS = ("none", "email", "call")


def make_log(n: int = 2000, seed: int = 0, vary: bool = True, **changes: Any) -> LoggedDecisions:
    """Rewards 0/1; `email` suits large x, `call` suits the segment b; a tenth had no choice."""
    random = np.random.default_rng(seed)
    contexts = pd.DataFrame({"x": random.normal(size=n), "segment": random.choice(["a", "b"], n)})
    eligible = np.ones((n, 3), dtype=bool)
    if vary:
        eligible[:, 1:] = random.random((n, 2)) < 0.7
    drawn = (eligible / eligible.sum(axis=1, keepdims=True)).cumsum(axis=1)
    action = (drawn > random.random((n, 1))).argmax(axis=1)
    reward = random.random(n) < truth(contexts)[np.arange(n), action]
    fields: dict[str, Any] = {
        "action_ids": IDS,
        "action": action,
        "action_probability": 1 / eligible.sum(axis=1),
        "reward": reward.astype(float),
        "eligible": eligible,
        "contexts": contexts,
    }
    return LoggedDecisions(**{**fields, **changes})


def truth(contexts: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The (n, 3) expected rewards that `make_log` draws from."""
    email = np.clip(0.3 + 0.2 * contexts["x"], 0, 1)
    call = np.where(contexts["segment"] == "b", 0.6, 0.1)
    return np.column_stack([np.full(len(contexts), 0.3), email, call])


def adf_by_hand(log: LoggedDecisions, policy: VowpalPolicy) -> str:
    """The log as cb_adf text, row by row: written independently of the product's formatting."""
    encoder = policy.encoder
    assert log.contexts is not None
    matrix = encoder.matrix(log.contexts)
    lines = []
    for i in np.flatnonzero(log.choice):
        features = " ".join(f"f{j}:{value:.9g}" for j, value in enumerate(matrix[i]))
        lines.append(f"shared |s {features}")
        cost = -log.reward[i] / policy._learned.unit
        label = f"0:{cost:.9g}:{log.action_probability[i]:.9g} "
        for a in np.flatnonzero(log.eligible[i]):
            lines.append(f"{label if a == log.action[i] else ''}|a a.{IDS[a]}")
        lines.append("")
    return "\n".join([*lines, ""])


def adf_scores(
    folder: Path, log: LoggedDecisions, policy: VowpalPolicy, options: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What real `cb_adf` learns from that text, as (20, 3) rewards of the log's first contexts."""
    (folder / "log").write_text(adf_by_hand(log, policy))
    arguments = f"--quiet -d {folder}/log --cb_adf -q sa -f {folder}/model {options}"
    vowpalwabbit.Workspace(f"{arguments} -k --cache_file {folder}/cache --holdout_off").finish()
    model = vowpalwabbit.Workspace(f"--quiet -t -i {folder}/model")
    encoder = policy.encoder
    assert log.contexts is not None
    rows = encoder.matrix(log.contexts.iloc[:20])
    scores = []
    for row in rows:
        features = " ".join(f"f{j}:{value:.9g}" for j, value in enumerate(row))
        scores.append(model.predict([f"shared |s {features}", *(f"|a a.{name}" for name in IDS)]))
    model.finish()
    return -np.array(scores) * policy._learned.unit


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("vary", [False, True])
@pytest.mark.parametrize("settings", [{}, {"l2": 1e-3}, {"l1": 1e-4, "power_t": 0.3}], ids=str)
def test_mtr_as_regression_is_cb_adf_mtr(
    tmp_path: Path, settings: dict[str, Any], vary: bool, passes: int
) -> None:
    """One weighted regression line a decision learns the scores of cb_adf mtr, to 2e-6."""
    log = make_log(1500, vary=vary)
    policy = VowpalPolicy(IDS, passes=passes, **settings).fit(log)
    options = " ".join(f"--{name} {value}" for name, value in settings.items())
    found = adf_scores(tmp_path, log, policy, f"--cb_type mtr --passes {passes} {options}")
    assert log.contexts is not None
    own = policy.vowpal_scores(log.contexts.iloc[:20])
    assert np.abs(found - own).max() <= 2e-6 * np.abs(found).max()


@pytest.mark.parametrize(("offset", "factor"), [(10, 40), (-30, 5), (-1, 3)])
def test_mtr_as_regression_holds_for_any_rewards(
    tmp_path: Path, offset: float, factor: float
) -> None:
    """The equality does not depend on the sign or size of rewards."""
    reward = offset + factor * np.random.default_rng(5).random(1500)
    log = make_log(1500, reward=reward)
    policy = VowpalPolicy(IDS).fit(log)
    found = adf_scores(tmp_path, log, policy, "--cb_type mtr")
    assert log.contexts is not None
    own = policy.vowpal_scores(log.contexts.iloc[:20])
    assert np.abs(found - own).max() <= 2e-6 * np.abs(found).max()


@pytest.mark.parametrize("cb_type", ["dr", "ips", "dm", "sm"])
def test_other_types_are_vowpal_wabbits_own(tmp_path: Path, cb_type: str) -> None:
    """Formatting by columns changes nothing of what cb_adf learns from text written by hand."""
    log = make_log(800)
    policy = VowpalPolicy(IDS, cb_type=cb_type).fit(log)
    found = adf_scores(tmp_path, log, policy, f"--cb_type {cb_type}")
    assert log.contexts is not None
    own = policy.vowpal_scores(log.contexts.iloc[:20])
    assert np.abs(found - own).max() <= 2e-6 * np.abs(found).max()


@pytest.mark.parametrize("cb_type", ["mtr", "dr", "ips"])
def test_personalising_beats_every_fixed_action(cb_type: str) -> None:
    """Where contexts decide which action is best, the policy earns more than any one action."""
    policy = VowpalPolicy(IDS, cb_type=cb_type, learning_rate=0.1).fit(make_log(8000))
    contexts = make_log(2000, seed=1).contexts
    assert contexts is not None
    expected = truth(contexts)
    value = (policy.distribution(contexts) * expected).sum(axis=1).mean()
    assert value > expected.mean(axis=0).max() + 0.07
    assert value > 0.97 * expected.max(axis=1).mean()


def test_equal_logs_give_equal_bytes() -> None:
    """Two fits of one log have the same weights and the same model file, to the byte."""
    first, second = (VowpalPolicy(IDS, passes=2).fit(make_log()) for _ in range(2))
    for left, right in zip(
        first._fitted()[1].__dict__.values(), second._fitted()[1].__dict__.values()
    ):
        assert left.tobytes() == right.tobytes()
    assert first._learned.model == second._learned.model


def test_streaming_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows are formatted at once does not show in the weights."""
    log = make_log(500)
    whole = VowpalPolicy(IDS).fit(log)
    monkeypatch.setattr(reading, "BLOCK", 37)
    assert VowpalPolicy(IDS).fit(log)._learned.model == whole._learned.model


@pytest.mark.parametrize("cb_type", ["mtr", "dr"])
def test_rows_without_a_choice_do_not_train(cb_type: str) -> None:
    """Rows with one eligible action may be there or not: the model is the same."""
    log = make_log(1000)
    assert 0 < log.choice.sum() < len(log)
    with_forced = VowpalPolicy(IDS, cb_type=cb_type).fit(log)
    without = VowpalPolicy(IDS, cb_type=cb_type).fit(log[log.choice])
    assert with_forced._learned.model == without._learned.model


def test_odd_column_names_change_nothing() -> None:
    """Columns called `3` and `a b:c|d` train to the bytes that plain names train to."""
    log = make_log(500)
    assert log.contexts is not None
    odd = log.contexts.rename(columns={"x": "3", "segment": "a b:c|d"})
    plain = VowpalPolicy(IDS).fit(log)
    renamed = VowpalPolicy(IDS).fit(make_log(500, contexts=odd))
    assert renamed._learned.model == plain._learned.model


def test_features_choose_the_columns() -> None:
    """Only the named columns are learned from, so others may be absent at scoring."""
    policy = VowpalPolicy(IDS, features=["x"]).fit(make_log(500))
    only_x = pd.DataFrame({"x": [0.0, 1.0]})
    assert policy.expected_reward(only_x).shape == (2, 3)
    with pytest.raises(LearningError, match=r"no column 'y'"):
        VowpalPolicy(IDS, features=["y"]).fit(make_log(500))


def test_a_column_missing_at_scoring_is_named() -> None:
    """Deciding without a column of training is an error that names it."""
    policy = VowpalPolicy(IDS).fit(make_log(500))
    with pytest.raises(LearningError, match=r"no column 'segment'[\s\S]*did you mean 'segments'"):
        policy.distribution(pd.DataFrame({"x": [0.0], "segments": ["a"]}))


def test_expected_rewards_lie_in_the_seen_or_declared_range() -> None:
    """Expected rewards are clipped to the argument's range, or the log's, or the rewards seen."""
    wild = pd.DataFrame({"x": [1e9, -1e9] * 20, "segment": ["a", "b"] * 20})
    bold = {"learning_rate": 5.0}
    seen = VowpalPolicy(IDS, **bold).fit(make_log(500)).expected_reward(wild)
    assert (seen.min(), seen.max()) == (0.0, 1.0)
    declared = VowpalPolicy(IDS, **bold).fit(make_log(500, reward_range=(-0.05, 1.05)))
    assert (declared.expected_reward(wild).min(), declared.expected_reward(wild).max()) == (
        -0.05,
        1.05,
    )
    given = VowpalPolicy(IDS, reward_range=(0.2, 0.4), **bold).fit(
        make_log(500, reward_range=(0, 1))
    )
    assert (given.expected_reward(wild).min(), given.expected_reward(wild).max()) == (0.2, 0.4)


def test_greedy_tells_apart_what_clipping_makes_equal() -> None:
    """Scores beyond the reward range still rank actions; explorations by distance see rewards."""
    log = make_log(500)
    narrow: dict[str, Any] = {"reward_range": (0.28, 0.32)}
    greedy = VowpalPolicy(IDS, **narrow).fit(log)
    scores, expected = greedy.vowpal_scores(log.contexts), greedy.expected_reward(log.contexts)  # type: ignore[arg-type]
    assert expected is not None
    tied = (expected == expected.max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert tied.mean() > 0.1
    found = greedy.distribution(log.contexts)
    assert np.array_equal(found.argmax(axis=1), scores.argmax(axis=1))
    assert (found.max(axis=1) == 1).all()
    soft = VowpalPolicy(IDS, exploration="softmax:0.01", **narrow).fit(log)
    by_hand = np.exp(expected / 0.01)
    by_hand /= by_hand.sum(axis=1, keepdims=True)
    assert np.allclose(soft.distribution(log.contexts), by_hand)


@pytest.mark.parametrize(
    ("cb_type", "exploration"),
    [
        *((each, "greedy") for each in CB_TYPES),
        *((each, "epsilon:0.3") for each in CB_TYPES),
        ("mtr", "softmax:0.1"),
        ("dr", "squarecb:50"),
    ],
)
def test_saved_and_pickled_policies_decide_alike(
    tmp_path: Path, cb_type: str, exploration: str
) -> None:
    """Save and load, and a closure's pickle, give the same distributions bit for bit."""
    log = make_log(500)
    policy = VowpalPolicy(IDS, cb_type=cb_type, exploration=exploration).fit(log)
    expected = policy.distribution(log.contexts, log.eligible)
    policy.save(tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy")
    assert isinstance(loaded, VowpalPolicy)
    assert loaded.params == policy.params
    assert not list((tmp_path / "policy").glob("*.pkl"))
    for again in (loaded, cloudpickle.loads(cloudpickle.dumps(policy))):
        assert np.array_equal(again.distribution(log.contexts, log.eligible), expected)
    assert log.contexts is not None
    few = log.contexts.iloc[:3]
    assert np.array_equal(loaded.vowpal_scores(few), policy.vowpal_scores(few))


def test_a_policy_travels_light() -> None:
    """What goes into a closure is kilobytes, so a fitted policy can be sent to every worker."""
    assert len(cloudpickle.dumps(VowpalPolicy(IDS).fit(make_log(500)))) < 20_000


def test_a_recipe_names_hyper_parameters_only() -> None:
    """The name survives a refit on other rows, and every hyper-parameter is part of it."""
    policy = VowpalPolicy(IDS, learning_rate=0.1, passes=3)
    name = policy.name
    assert name.startswith("mtr-lr0.1-p3-")
    assert policy.fit(make_log(300)).name == policy.fit(make_log(300, seed=3)).name == name
    others: list[dict[str, Any]] = [{"l1": 1e-6}, {"l2": 1e-6}, {"power_t": 0.4}, {"seed": 1}]
    others += [
        {"bins": 4},
        {"bootstrap": 1},
        {"standardise": True},
        {"half_life": 9},
        {"max_weight": 9},
    ]
    others += [{"action_features": {"call": {"channel": "phone"}}}]
    others += [
        {"exploration": "epsilon:0.1"},
        {"features": ["x"]},
        {"interactions": ()},
        {"bits": 20},
    ]
    names = {VowpalPolicy(IDS, learning_rate=0.1, passes=3, **each).name for each in others}
    assert len(names | {name}) == len(others) + 1


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text, the cache and the model file of a fit are gone when it is done."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    policy = VowpalPolicy(IDS, passes=2).fit(make_log(300))
    policy.vowpal_scores(pd.DataFrame({"x": [0.0], "segment": ["a"]}))
    assert not list(tmp_path.iterdir())


class Parts:
    """A log that is read part by part, as from files."""

    def __init__(self, log: LoggedDecisions, size: int) -> None:
        self.log, self.size = log, size

    def __iter__(self) -> Iterator[LoggedDecisions]:
        """Its parts in order, from the first one each time."""
        for start in range(0, len(self.log), self.size):
            yield self.log[slice(start, start + self.size)]


@pytest.mark.parametrize("settings", [{"passes": 3, "bins": 4}, {"cb_type": "dr"}], ids=str)
def test_parts_teach_what_the_whole_teaches(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log in parts gives the model file that the log in one piece gives, however it is cut."""
    monkeypatch.setattr(reading, "SAMPLE", 300)  # the encoder sees a thinned log
    log = make_log(1_000)
    whole = VowpalPolicy(IDS, **settings).fit(log)
    for size in (1, 137, 999):
        in_parts = VowpalPolicy(IDS, **settings).fit(Parts(log, size))
        assert in_parts._learned.model == whole._learned.model
        assert in_parts.encoder == whole.encoder


def test_a_spent_iterator_is_refused() -> None:
    """A generator can be read once only, and learning reads twice: an error that says so."""
    with pytest.raises(LearningError, match="spent after once"):
        VowpalPolicy(IDS).fit(iter([make_log(50)]))
    for wrong, name in ((["log"], "str"), (pd.DataFrame({"x": [1.0]}), "DataFrame"), (3, "int")):
        with pytest.raises(LearningError, match=f"learns from LoggedDecisions, not from a {name}"):
            VowpalPolicy(IDS).fit(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("vary", [False, True])
@pytest.mark.parametrize("cb_type", ["mtr", "ips"])
def test_going_on_is_learning_the_whole(cb_type: str, vary: bool) -> None:
    """Yesterday's model going on with today's rows scores as one that read both days."""
    log = make_log(1_200, vary=vary)
    settings: dict[str, Any] = {"cb_type": cb_type, "learning_rate": 0.1, "power_t": 0.4}
    yesterday = VowpalPolicy(IDS, **settings).fit(log[:700])
    today = VowpalPolicy(IDS, **settings).fit(log[700:], start=yesterday)
    # both days at once, with the encoding that was made yesterday
    whole = VowpalPolicy(IDS, **settings)
    begun = replace(yesterday._learned, model=b"", rows=0, eligible=0)
    whole._blank = lambda _: begun  # type: ignore[method-assign]
    whole = whole.fit(log)
    shown = make_log(20, seed=9).contexts
    assert shown is not None
    expected = whole.vowpal_scores(shown)
    assert np.abs(today.vowpal_scores(shown) - expected).max() <= 2e-6 * np.abs(expected).max()
    assert replace(today._learned, model=b"") == replace(whole._learned, model=b"")


def test_a_day_without_rewards_is_learned_from_when_going_on() -> None:
    """Yesterday's model learns from a day that earned nothing: scores fall, and nothing is refused."""
    yesterday = VowpalPolicy(IDS).fit(make_log(1_000))
    quiet = make_log(200, seed=3, reward=np.zeros(200))
    today = VowpalPolicy(IDS).fit(quiet, start=yesterday)
    shown = make_log(200, seed=4).contexts
    assert shown is not None
    assert today.vowpal_scores(shown).mean() < yesterday.vowpal_scores(shown).mean()
    with pytest.raises(LearningError, match="same reward 0"):
        VowpalPolicy(IDS).fit(quiet)


def test_a_fit_leaves_the_policy_as_it_was() -> None:
    """Fitting gives a new policy; the old one decides as before, also where the fit fails."""
    log = make_log(300)
    recipe = VowpalPolicy(IDS)
    policy = recipe.fit(log)
    with pytest.raises(LearningError, match="has not learned"):
        recipe.distribution(log.contexts)
    before = policy.distribution(log.contexts)
    other = policy.fit(make_log(300, seed=7))
    assert not np.array_equal(other.distribution(log.contexts), before)
    with pytest.raises(LearningError, match="same reward"):
        policy.fit(make_log(300, reward=np.ones(300)))
    with pytest.raises(LearningError, match="no finite scores"):
        VowpalPolicy(IDS, l2=1e9).fit(log)
    assert np.array_equal(policy.distribution(log.contexts), before)


def test_going_on_with_other_settings_is_refused() -> None:
    """A model goes on under the settings that it was made with, or not at all."""
    yesterday = VowpalPolicy(IDS).fit(make_log(300))
    with pytest.raises(LearningError, match="cannot go on as mtr-lr0.1"):
        VowpalPolicy(IDS, learning_rate=0.1).fit(make_log(300), start=yesterday)
    with pytest.raises(LearningError, match="has not learned yet"):
        VowpalPolicy(IDS).fit(make_log(300), start=VowpalPolicy(IDS))


def test_actions_come_and_go() -> None:
    """A model goes on when an action retires and another comes: the others keep their scores."""
    yesterday = VowpalPolicy(IDS).fit(make_log(2_000, vary=False))
    ids = ("none", "call", "push")  # email retired, push is new
    log = make_log(60, seed=4, vary=False, action_ids=ids)
    today = VowpalPolicy(ids, learning_rate=0.5).fit(log, start=yesterday)
    shown = make_log(500, seed=5).contexts
    assert shown is not None
    before, after = yesterday.vowpal_scores(shown)[:, [0, 2]], today.vowpal_scores(shown)[:, :2]
    assert np.corrcoef(before[:, 1], after[:, 1])[0, 1] > 0.9
    assert np.abs(after - before).mean() < 0.15
    assert today.action_ids == ids


def test_a_new_action_starts_from_its_relatives() -> None:
    """An action never drawn is scored by what it has in common with those that were."""
    log = make_log(6_000, vary=False)
    email = log.action == 1
    kin = {"email": {"channel": "mail"}, "letter": {"channel": "mail"}}
    wider = LoggedDecisions(
        (*IDS, "letter"), log.action, log.action_probability, log.reward, contexts=log.contexts,
        eligible=np.column_stack([log.eligible, np.zeros(len(log), dtype=bool)]),
    )  # fmt: skip
    policy = VowpalPolicy((*IDS, "letter"), learning_rate=0.1, action_features=kin).fit(wider)
    alone = VowpalPolicy((*IDS, "letter"), learning_rate=0.1).fit(wider)
    shown = make_log(500, seed=6).contexts
    assert shown is not None
    assert email.any()
    found, plain = policy.vowpal_scores(shown), alone.vowpal_scores(shown)
    assert np.corrcoef(found[:, 1], found[:, 3])[0, 1] > 0.95
    relation = np.corrcoef(plain[:, 1], plain[:, 3])[0, 1]
    assert not relation > 0.95


def test_an_action_nobody_knows_comes_last_until_it_was_tried() -> None:
    """Never taken and not described, an action is taken only where nothing else is eligible."""
    log = make_log(3_000, vary=False)
    policy = VowpalPolicy(IDS, learning_rate=0.1).fit(log).for_actions((*IDS, "letter"))
    shown = make_log(200, seed=6).contexts
    assert shown is not None
    scores = policy.expected_reward(shown)
    assert scores is not None
    assert (scores[:, 3] <= scores[:, :3].min(axis=1)).all()
    assert (policy.distribution(shown)[:, 3] == 0).all()
    only = np.tile([False, False, False, True], (200, 1))
    assert (policy.distribution(shown, only)[:, 3] == 1).all()
    ids = (*IDS, "letter")
    tried = make_log(3_000, seed=1, vary=False)
    tried = LoggedDecisions(
        ids, np.where(np.arange(3_000) % 4, tried.action, 3), tried.action_probability,
        np.where(np.arange(3_000) % 4, tried.reward, 1.0), contexts=tried.contexts,
        eligible=np.ones((3_000, 4), dtype=bool),
    )  # fmt: skip
    learned = VowpalPolicy(ids, learning_rate=0.1).fit(tried, start=policy)
    assert (learned.distribution(shown)[:, 3] > 0.5).mean() > 0.9
    again = learned.for_actions(ids)
    assert np.array_equal(again.distribution(shown), learned.distribution(shown))


def test_a_policy_is_read_out_for_the_actions_there_are(tmp_path: Path) -> None:
    """Where an action retires and another comes, the others keep their scores to the last bit."""
    policy = VowpalPolicy(IDS, action_features={"call": {"by": "phone"}}).fit(make_log(2_000))
    now = ("call", "letter", "none")
    described = {"call": {"by": "phone"}, "letter": {"by": "phone"}}
    policy.about = {"log_hash": "h"}
    other = policy.for_actions(now, described)
    shown = make_log(200, seed=5).contexts
    assert shown is not None
    before, after = policy.vowpal_scores(shown), other.vowpal_scores(shown)
    assert np.array_equal(after[:, [0, 2]], before[:, [2, 0]])
    assert np.corrcoef(after[:, 0], after[:, 1])[0, 1] > 0.9
    assert other.name == policy.name
    other.save(tmp_path / "policy", other.about)
    again = load_policy(tmp_path / "policy")
    assert again.action_ids == now
    assert again.about == {"log_hash": "h"}
    assert np.array_equal(again.distribution(shown), other.distribution(shown))
    plain = VowpalPolicy(IDS).fit(make_log(2_000)).for_actions(now, described)
    assert plain.settings.action_features == {}


def test_older_decisions_count_less() -> None:
    """With a half-life the model follows a world that has turned over, and is told by dates."""
    old, new = make_log(4_000, vary=False), make_log(1_000, seed=1, vary=False)
    random = np.random.default_rng(2)
    turned = 1 - truth(new.contexts)[np.arange(1_000), new.action]  # type: ignore[arg-type]
    dates = np.datetime64("2026-01-01") + np.repeat([0, 30], [4_000, 1_000])
    log = LoggedDecisions(
        IDS,
        np.append(old.action, new.action),
        np.full(5_000, 1 / 3),
        np.append(old.reward, (random.random(1_000) < turned).astype(float)),
        contexts=pd.concat([old.contexts, new.contexts], ignore_index=True),  # type: ignore[list-item]
        decision_date=dates,
    )
    shown = make_log(2_000, seed=3).contexts
    assert shown is not None
    now = 1 - truth(shown)

    def earns(half_life: float | None) -> float:
        policy = VowpalPolicy(IDS, learning_rate=0.02, half_life=half_life).fit(log)
        return float((policy.distribution(shown) * now).sum(axis=1).mean())

    assert earns(3.0) > earns(None) + 0.05
    with pytest.raises(LearningError, match="half_life needs the decisions' dates"):
        VowpalPolicy(IDS, half_life=3.0).fit(make_log(50))


def test_importance_weights_are_cut_where_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """max_weight=4 learns what a log learns whose probabilities are nowhere below a quarter."""
    random = np.random.default_rng(0)
    chances = random.uniform(0.05, 1.0, 600)
    raised = np.maximum(chances, 0.25)
    for cb_type in ("mtr", "ips"):
        cut = VowpalPolicy(IDS, cb_type=cb_type, max_weight=4.0).fit(
            make_log(600, vary=False, action_probability=chances)
        )
        plain = VowpalPolicy(IDS, cb_type=cb_type).fit(
            make_log(600, vary=False, action_probability=raised)
        )
        assert cut._learned.model == plain._learned.model


@pytest.mark.parametrize("factor", [1e-3, 1e3, 1e6])
@pytest.mark.parametrize("cb_type", ["mtr", "dr"])
def test_rewards_of_any_size_are_learned_alike(cb_type: str, factor: float) -> None:
    """Rewards in cents or in millions give the choices, and the expected rewards, of those near 1."""
    log, shown = make_log(4_000, vary=False), make_log(500, seed=7).contexts
    assert shown is not None
    settings: dict[str, Any] = {"cb_type": cb_type, "learning_rate": 0.1, "reward_range": None}
    usual = VowpalPolicy(IDS, **settings).fit(log)
    other = VowpalPolicy(IDS, **settings).fit(
        make_log(4_000, vary=False, reward=log.reward * factor)
    )
    ours, theirs = other.expected_reward(shown), usual.expected_reward(shown)
    assert ours is not None
    assert theirs is not None
    assert np.abs(ours / factor - theirs).mean() < 0.01
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.97


def test_a_new_day_draws_its_own_bootstrap() -> None:
    """A bag's policy that goes on draws anew, as one that read both days would have."""
    log = make_log(600, vary=False)
    first = VowpalPolicy(IDS, bootstrap=1).fit(log[:300])
    again = VowpalPolicy(IDS, bootstrap=1).fit(log[300:], start=first)
    whole = VowpalPolicy(IDS, bootstrap=1)
    begun = replace(first._learned, model=b"", rows=0, eligible=0)
    whole._blank = lambda _: begun  # type: ignore[method-assign]
    expected = whole.fit(log).vowpal_scores(log.contexts)  # type: ignore[arg-type]
    found = again.vowpal_scores(log.contexts)  # type: ignore[arg-type]
    assert np.abs(found - expected).max() <= 2e-6 * np.abs(expected).max()


def test_bins_follow_a_curve() -> None:
    """Where an action pays in the middle of a number's range only, bins find it; a line cannot."""
    random = np.random.default_rng(0)
    x, action = random.uniform(-2, 2, 6_000), random.integers(2, size=6_000)
    chance = np.where(action == 1, np.where(np.abs(x) < 1, 0.8, 0.1), 0.35)
    log = LoggedDecisions(
        ("none", "mail"), action, np.full(6_000, 0.5), (random.random(6_000) < chance) * 1.0,
        contexts=pd.DataFrame({"x": x}),
    )  # fmt: skip
    shown = pd.DataFrame({"x": np.linspace(-2, 2, 401)})
    mails = np.abs(shown["x"].to_numpy()) < 1

    def right(bins: int) -> float:
        policy = VowpalPolicy(("none", "mail"), bins=bins, passes=3).fit(log)
        return float((policy.distribution(shown)[:, 1] == mails).mean())

    assert right(8) > 0.9
    assert right(0) < 0.8


def test_preferences_of_sm_are_no_rewards() -> None:
    """cb_type "sm" decides, and has no expected rewards to give."""
    policy = VowpalPolicy(IDS, cb_type="sm").fit(make_log(300))
    shown = make_log(5, seed=1).contexts
    assert shown is not None
    assert policy.expected_reward(shown) is None
    assert policy.distribution(shown).shape == (5, 3)
    with pytest.raises(LearningError, match="explores by expected rewards"):
        VowpalPolicy(IDS, cb_type="sm", exploration="squarecb:10")


def test_a_driver_that_fails_says_why() -> None:
    """What Vowpal Wabbit said before it ended is in the error."""
    with pytest.raises(LearningError, match=r"Vowpal Wabbit ended with exit code[\s\S]*nonsense"):
        driver.learn(["--nonsense"], [memoryview(b"1 |s x\n")] * 100_000)


def test_a_mistake_while_formatting_ends_the_driver(tmp_path: Path) -> None:
    """An error in the text's making is raised as it is, and the driver does not stay behind."""

    def text() -> Iterator[memoryview]:
        yield memoryview(b"1 |s x\n")
        raise KeyError("column")

    with pytest.raises(KeyError, match="column"):
        driver.learn([], text())


def _forced() -> LoggedDecisions:
    log = make_log(50)
    eligible = np.zeros((50, 3), dtype=bool)
    eligible[np.arange(50), log.action] = True
    return make_log(50, eligible=eligible)


def _one_action() -> LoggedDecisions:
    return make_log(50, vary=False, action=np.ones(50, dtype=np.int64))


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        (make_log(50)[:0], "the log is empty"),
        (_forced(), "none of the log's 50 rows had a choice"),
        (_one_action(), "every choice row has the one action 'email'"),
        (make_log(50, contexts=None), "the log has no contexts"),
        (make_log(50, reward=np.ones(50)), "every choice row has the same reward 1"),
        (make_log(50, action_ids=("none", "call", "email")), "are not the policy's"),
    ],
)
def test_logs_that_teach_nothing_are_refused(log: LoggedDecisions, problem: str) -> None:
    """A log that nothing can be learned from is an error that says why, with a hint."""
    with pytest.raises(LearningError, match=problem) as caught:
        VowpalPolicy(IDS).fit(log)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"cb_type": "mtrr"}, "unknown cb_type 'mtrr'[\\s\\S]*did you mean 'mtr'"),
        ({"interactions": ["ssa"]}, "interaction 'ssa' is not of one shared"),
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number"),
        ({"power_t": -1}, "power_t must be 0 or more"),
        ({"l1": -1}, "l1 must be 0 or more"),
        ({"l2": -1}, "l2 must be 0 or more"),
        ({"passes": 0}, "passes must be 1 or more"),
        ({"bits": 40}, "bits must be from 1 to 31"),
        ({"bins": 1}, "bins must be 0, or from 2 to 100"),
        ({"half_life": 0}, "half_life must be a positive number of days"),
        ({"half_life": 3, "cb_type": "dr"}, "half_life weighs regressions"),
        ({"bootstrap": 1, "cb_type": "dr"}, "bootstrap weighs regressions"),
        ({"max_weight": 0.5}, "max_weight must be 1 or more"),
        (
            {"action_features": {"emial": {"group": "a"}}},
            "'emial', which is no action[\\s\\S]*did you mean 'email'",
        ),
        ({"reward_range": (1, 0)}, "reward_range must be"),
        ({"reward_range": "ab"}, r"reward_range must be \(low, high\)"),
        ({"reward_range": (0, float("nan"))}, r"reward_range must be \(low, high\)"),
        (
            {"lerning_rate": 0.1},
            "unknown setting 'lerning_rate'[\\s\\S]*did you mean 'learning_rate'",
        ),
        ({"learning_rate": "fast"}, "learning_rate must be a number, and is 'fast'"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number"),
        ({"passes": 2.7}, "passes must be a whole number, and is 2.7"),
        ({"seed": "s"}, "seed must be a whole number"),
        ({"features": "x"}, "features must be a list"),
        ({"interactions": None}, "interactions must be a list"),
        ({"action_features": ["email"]}, "must map each action"),
        ({"action_features": {"email": "mail"}}, "must map each action"),
        ({"action_features": {"email": {"cost": None}}}, "email.cost must be a number"),
    ],
)
def test_impossible_hyper_parameters_are_refused(settings: dict[str, Any], problem: str) -> None:
    """A hyper-parameter out of its range is an error at once, not at the fit."""
    with pytest.raises(LearningError, match=problem):
        VowpalPolicy(IDS, **settings)


def test_an_unknown_exploration_is_refused_at_once() -> None:
    """An exploration that cannot be parsed is an error when the policy is made."""
    with pytest.raises(InvalidPolicyError, match="no exploration"):
        VowpalPolicy(IDS, exploration="greedie")


def test_a_policy_that_has_not_learned_says_so(tmp_path: Path) -> None:
    """Asking, deciding with or saving an unfitted policy is an error that says what to call."""
    policy, contexts = VowpalPolicy(IDS), pd.DataFrame({"x": [0.0]})
    for ask in (policy.expected_reward, policy.distribution, policy.vowpal_scores):
        with pytest.raises(LearningError, match=r"has not learned yet[\s\S]*call fit"):
            ask(contexts)
    with pytest.raises(LearningError, match="has not learned yet"):
        policy.save(tmp_path)


@pytest.mark.parametrize("wrong", [[[1.0, 2.0]], np.ones((1, 2)), pd.Series([1.0]), {"x": [1.0]}])
def test_contexts_are_a_frame(wrong: Any) -> None:
    """Deciding by what is no DataFrame is an error that says what is meant."""
    policy = VowpalPolicy(IDS).fit(make_log(300))
    with pytest.raises(LearningError, match="contexts must be a DataFrame"):
        policy.expected_reward(wrong)


def test_arrow_contexts_are_pandas_contexts() -> None:
    """An Arrow table of contexts is scored as the frame that it is."""
    log = make_log(300)
    policy = VowpalPolicy(IDS).fit(log)
    assert log.contexts is not None
    table = pa.Table.from_pandas(log.contexts)
    assert np.array_equal(policy.expected_reward(table), policy.expected_reward(log.contexts))
    assert np.array_equal(policy.distribution(table), policy.distribution(log.contexts))


def test_deciding_without_contexts_is_refused() -> None:
    """A learned policy needs contexts, and says so."""
    policy = VowpalPolicy(IDS).fit(make_log(300))
    with pytest.raises(LearningError, match="decides by contexts"):
        policy.distribution(None, np.ones((2, 3), dtype=bool))
