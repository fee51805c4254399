"""What every policy owes: a distribution over the eligible set, a description, save and load."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from policies.errors import InvalidPolicyError, ModelFileError
from policies.learning.baselines import UniformPolicy
from policies.policy import POLICIES, Policy, load_policy, require_features

ACTIONS = ("no_contact", "email", "call")


class Given(Policy):
    """A policy whose weights are given."""

    kind: ClassVar[str] = "given"

    def __init__(self, action_ids: Any, weights: Any) -> None:
        super().__init__(action_ids)
        self.weights = np.asarray(weights, dtype=float)

    def _weights(
        self, contexts: pd.DataFrame | None, eligible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return self.weights

    def _state(self) -> dict[str, Any]:
        return {"weights": self.weights.tolist()}


def test_masks_and_normalises() -> None:
    """Weights off the eligible set count as 0, the rest is scaled to 1, a single action gets 1."""
    policy = Given(ACTIONS, [[1, 1, 2], [5, 1, 3], [0, 0, 0], [np.nan, 1, 0]])
    eligible = [[True] * 3, [False, True, True], [True, False, False], [False, True, True]]
    expected = [[0.25, 0.25, 0.5], [0, 0.25, 0.75], [1, 0, 0], [0, 1, 0]]
    assert policy.distribution(None, eligible).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(
    weights=arrays(float, (5, 4), elements=st.floats(1e-300, 1e300)),
    eligible=arrays(bool, (5, 4)).map(lambda mask: mask | np.eye(4, dtype=bool)[[0, 1, 2, 3, 0]]),
)
def test_is_a_distribution_over_the_eligible(weights: Any, eligible: Any) -> None:
    """Rows sum to 1 within 1e-9, are exactly 0 off the set and exactly 1 on a single action."""
    result = Given("abcd", weights).distribution(None, eligible)
    assert result.dtype == np.float64
    assert np.abs(result.sum(axis=1) - 1).max() < 1e-9
    assert (result[~eligible] == 0).all()
    assert (result[eligible.sum(axis=1) == 1].max(axis=1, initial=0) == 1).all()
    again = Given("abcd", result).distribution(None, eligible)
    assert np.array_equal(again, result)


def test_all_actions_are_eligible_unless_told() -> None:
    """Without eligible sets every action of every context row is eligible."""
    policy = Given(ACTIONS, [[1, 2, 1]] * 2)
    assert policy.distribution(pd.DataFrame({"x": [1, 2]})).tolist() == [[0.25, 0.5, 0.25]] * 2


def test_no_rows_give_no_rows() -> None:
    """An empty batch is decided as an empty batch."""
    assert Given(ACTIONS, np.ones((0, 3))).distribution(pd.DataFrame({"x": []})).shape == (0, 3)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ([[1, 1, 1], [1, np.nan, 1]], "weights must be finite: 1 of 2 rows break it"),
        ([[1, 1, 1], [1, np.inf, 1]], "must be finite"),
        ([[-1, 1, 1], [1, 1, 1]], "weights must not be negative: 1 of 2 rows"),
        ([[1, 1, 1], [0, 0, 0]], "some eligible action must have weight"),
        ([[1, 1, 1], [1e308, 1e308, 1e308]], "too large"),
        ([[1, 1, 1]], "shape"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_refuses_weights_that_are_no_distribution(weights: Any, problem: str) -> None:
    """Weights that are NaN, infinite, negative, all 0 or misshapen are refused by policy name."""
    with pytest.raises(InvalidPolicyError, match="Given") as error:
        Given(ACTIONS, weights).distribution(None, np.ones((2, 3), dtype=bool))
    assert problem in str(error.value)


def test_refuses_a_row_with_nothing_eligible() -> None:
    """A row with no eligible action is an error that names the first such rows."""
    eligible = np.ones((9, 3), dtype=bool)
    eligible[2:] = False
    with pytest.raises(InvalidPolicyError, match="7 of 9 rows break it\\n.*rows 2, 3, 4, 5, 6, …"):
        Given(ACTIONS, np.ones((9, 3))).distribution(None, eligible)


@pytest.mark.parametrize(
    ("contexts", "eligible"),
    [
        (None, None),
        (None, [[1, 1, 0]]),
        (None, [[True, True]]),
        (None, [True, True, True]),
        (pd.DataFrame({"x": [1, 2]}), [[True] * 3]),
    ],
)
def test_refuses_rows_that_do_not_fit(contexts: Any, eligible: Any) -> None:
    """No rows at all, sets that are not (n, k) bool, or of another length are refused."""
    with pytest.raises(InvalidPolicyError):
        Given(ACTIONS, [[1, 1, 1]]).distribution(contexts, eligible)


@pytest.mark.parametrize("ids", [(), ("a", "a")])
def test_needs_distinct_actions(ids: Any) -> None:
    """A policy without actions, or with one twice, is refused."""
    with pytest.raises(InvalidPolicyError, match="distinct"):
        Given(ids, [[1]])


def test_names_the_missing_feature() -> None:
    """A missing feature is named with the closest column; no contexts at all are refused too."""
    with pytest.raises(InvalidPolicyError, match="did you mean 'recency'"):
        require_features(pd.DataFrame({"recency": [1]}), ["recenzy"], "policy X")
    with pytest.raises(InvalidPolicyError, match="needed for the features recency"):
        require_features(None, ["recency"], "policy X")


def test_loads_what_it_saved_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved policy is one JSON file, and loading gives the same distribution to the last bit."""
    monkeypatch.setitem(POLICIES, "given", Given)
    policy = Given(ACTIONS, np.random.default_rng(0).random((50, 3)))
    policy.save(tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy")
    everywhere = np.ones((50, 3), dtype=bool)
    assert type(loaded) is Given
    assert loaded.action_ids == policy.action_ids
    assert loaded.params == policy.params
    assert np.array_equal(
        loaded.distribution(None, everywhere), policy.distribution(None, everywhere)
    )
    assert [file.name for file in (tmp_path / "policy").iterdir()] == ["policy.json"]


def test_refuses_unknown_kinds_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving or loading an unregistered kind, or loading from nowhere, is a typed error."""
    with pytest.raises(InvalidPolicyError, match="'given' is not in"):
        Given(ACTIONS, [[1, 1, 1]]).save(tmp_path)
    with pytest.raises(ModelFileError, match="'policy.json' of a saved policy is not there"):
        load_policy(tmp_path / "nowhere")
    monkeypatch.setitem(POLICIES, "unifrom", UniformPolicy)
    with monkeypatch.context() as known:
        known.setattr(UniformPolicy, "kind", "unifrom")
        UniformPolicy(ACTIONS).save(tmp_path / "policy")
    monkeypatch.delitem(POLICIES, "unifrom")
    with pytest.raises(ModelFileError, match="did you mean 'uniform'"):
        load_policy(tmp_path / "policy")


@pytest.mark.parametrize("state", [{"more": 1}, {"action_ids": []}, {"action_ids": 3}])
def test_a_state_that_makes_no_policy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any]
) -> None:
    """A policy whose saved state its class cannot read back is an error that names file and folder."""
    monkeypatch.setattr(UniformPolicy, "_state", lambda _: state)
    UniformPolicy(ACTIONS).save(tmp_path)
    with pytest.raises(ModelFileError, match="'policy.json' of a saved policy cannot be") as error:
        load_policy(tmp_path)
    assert str(tmp_path) in str(error.value.where)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """A policy is not saved where a file is."""
    (tmp_path / "policy").touch()
    with pytest.raises(InvalidPolicyError, match="this is a file"):
        UniformPolicy(ACTIONS).save(tmp_path / "policy")


def test_remembers_where_it_came_from(tmp_path: Path) -> None:
    """What saving was told about the policy comes back with it."""
    UniformPolicy(ACTIONS).save(tmp_path / "policy", {"log_hash": "abc"})
    assert load_policy(tmp_path / "policy").about == {"log_hash": "abc"}


def test_eligible_frames_are_read_by_name() -> None:
    """A frame of eligible actions is put into the actions' order; unnamed columns stand as they are."""
    policy = UniformPolicy(ACTIONS)
    frame = pd.DataFrame({"call": [False], "no_contact": [True], "email": [True]})
    assert policy.distribution(None, frame).tolist() == [[0.5, 0.5, 0]]
    assert policy.distribution(None, pd.DataFrame([[True, False, True]])).tolist() == [
        [0.5, 0, 0.5]
    ]
    for wrong in (frame.rename(columns={"call": "cal"}), [[True], [True, False]]):
        with pytest.raises(InvalidPolicyError):
            policy.distribution(None, wrong)


def test_travels_in_a_closure() -> None:
    """A policy survives cloudpickle, in which Spark ships it to its workers."""
    policy = Given(ACTIONS, [[1, 2, 1]])
    copy = cloudpickle.loads(cloudpickle.dumps(policy))
    assert np.array_equal(
        copy.distribution(None, [[True] * 3]), policy.distribution(None, [[True] * 3])
    )


def test_has_no_reward_model_of_its_own() -> None:
    """A policy without a reward model says None."""
    assert Given(ACTIONS, [[1, 1, 1]]).expected_reward(pd.DataFrame({"x": [1]})) is None
