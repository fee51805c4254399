"""A policy: a distribution over each row's eligible actions, which can be saved and loaded."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from textwrap import shorten
from typing import Any, ClassVar, Optional, Union, cast, final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from policies import model_files
from policies.columns import by_action, require
from policies.errors import InvalidPolicyError, ModelFileError, NbaError, require_known
from policies.log import Bools, Floats, Logs

Described = Optional[Mapping[str, Mapping[str, Union[float, str]]]]  # actions, by id
POLICIES: dict[str, str | type[Policy]] = {
    "uniform": "policies.learning.baselines:UniformPolicy",
    "fixed": "policies.learning.baselines:FixedAction",
    "averaged": "policies.learning.averaged:Averaged",
    "best_average": "policies.learning.best_average:BestAverage",
    "business_rules": "policies.learning.baselines:BusinessRules",
    "as_deployed": "policies.deciding.deployed:AsDeployed",
    "vowpal": "policies.learning.vowpal.policy:VowpalPolicy",
}
"""Where each saved kind is loaded from: a class, or "module:Class", imported when first needed."""

_SUMS_TO_ONE = 1e-12


class Policy(ABC):
    """Chooses actions by a distribution; a new policy implements `_weights`.

    It keeps each argument of its constructor as an attribute of the same name, and what it learns
    in further ones (scikit-learn's convention); then `params` and `save` need nothing else.

    Args:
        action_ids: k distinct names; they are the columns of every (n, k) array.

    Raises:
        InvalidPolicyError: there is no action, or one is named twice.
    """

    kind: ClassVar[str]

    def __init__(self, action_ids: Sequence[str]) -> None:
        self.about: dict[str, str] = {}  # where the policy came from, as given to `save`
        self.action_ids: tuple[str, ...] = tuple(str(action_id) for action_id in action_ids)
        if not self.action_ids or len(set(self.action_ids)) != len(self.action_ids):
            raise self._refused(f"a policy needs distinct action ids, not {self.action_ids}")

    @abstractmethod
    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        """The weight of each action: (n, k), finite and not negative, in any unit.

        The base class masks what is not eligible, normalises rows, and gives a single eligible
        action exactly 1. Every other row must have weight on at least one eligible action.
        """

    def _state(self) -> dict[str, Any]:
        """What `_load` needs beside `action_ids`, in plain JSON types: the constructor's arguments."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names if name != "action_ids"}

    def _save_files(self, path: Path) -> None:  # noqa: B027 - most policies have no further file
        """Write what does not fit JSON into the directory `path`; no pickle."""

    @classmethod
    def _load(cls, path: Path, state: dict[str, Any]) -> Policy:
        """Build the policy from `_state()` with `action_ids` added, and the directory's files."""
        return cls(**state)

    def __repr__(self) -> str:
        """The class, the actions and the parameters, cut where they are long."""
        told = ", ".join(
            f"{name}={value!r}" for name, value in self.params.items() if name != "kind"
        )
        inside = shorten(f"{list(self.action_ids)}, {told}".rstrip(", "), 300, placeholder=" …")
        return f"{type(self).__name__}({inside})"

    @property
    def name(self) -> str:
        """The recipe's name: all versions of the policy share it, however often it is fitted."""
        return self.kind

    @property
    def params(self) -> dict[str, Any]:
        """A flat dict that describes the policy."""
        return {"kind": self.kind, **self._state()}

    def fit(self, log: Logs) -> Policy:
        """The policy fitted on the log alone, as a new one; itself if it learns nothing.

        Args:
            log: decisions, or their parts in order: anything that can be iterated over repeatedly.

        Raises:
            LearningError: nothing can be learned from the log.
        """
        return self

    def for_actions(self, action_ids: Sequence[str], action_features: Described = None) -> Policy:
        """This policy for a changed action list; keeps what it learned about actions in both.

        Args:
            action_ids: the new list.
            action_features: what describes these actions, for policies that learn from it.

        Raises:
            InvalidPolicyError: an action that the policy cannot do without is gone.
        """
        return type(self)(action_ids, **self._state())

    def expected_reward(self, contexts: pd.DataFrame) -> Floats | None:
        """The policy's own (n, k) mean reward per action, in reward units; None if it has none."""
        return None

    @final
    def distribution(
        self, contexts: pd.DataFrame | None, eligible: ArrayLike | None = None
    ) -> Floats:
        """The (n, k) probabilities with which each row's action is drawn.

        Args:
            contexts: n rows of features; None is enough for a policy that reads none.
            eligible: (n, k) bool; None means that every action is eligible.

        Returns:
            (n, k) float64: rows sum to 1, exactly 0 where not eligible, exactly 1 on a single
            eligible action. Rows of weights that already sum to 1 pass through bit for bit.

        Raises:
            InvalidPolicyError: a row has no eligible action, shapes disagree, a feature is
                missing, or the policy's weights are no distribution.
        """
        mask = self._eligible_set(contexts, eligible)
        weights = np.asarray(self._weights(contexts, mask), dtype=np.float64)
        if weights.shape != mask.shape:
            raise self._refused(f"weights have shape {weights.shape}, not {mask.shape}")
        single = np.count_nonzero(mask, axis=1) == 1
        weights = np.where(mask, weights, 0.0)
        np.copyto(weights, mask, where=single[:, None])
        total = weights.sum(axis=1)
        if not (weights.min(initial=0.0) >= 0 and ((total > 0) & np.isfinite(total)).all()):
            self._require(np.isfinite(weights).all(axis=1), "weights must be finite")
            self._require((weights >= 0).all(axis=1), "weights must not be negative")
            self._require(total > 0, "some eligible action must have weight")
            self._require(np.isfinite(total), "weights must not be too large to add up")
        off = np.abs(total - 1.0) > _SUMS_TO_ONE
        if off.any():
            weights /= np.where(off, total, 1.0)[:, None]
        return weights

    @final
    def save(self, path: str | Path, about: Mapping[str, str] | None = None) -> None:
        """Write the policy into a directory; `load_policy` gives the same distribution bit for bit.

        Args:
            path: the directory, which should be the policy's own: what it holds besides is kept
                with the policy, and may not change any more.
            about: where the policy came from (hashes of catalogue, features, log …), kept with it.

        Raises:
            InvalidPolicyError: the policy's kind is not in `POLICIES`, or the path is a file.
        """
        _registered(self.kind, self._where)
        directory = Path(path)
        if directory.exists() and not directory.is_dir():
            what = "a policy is saved into a directory, and this is a file"
            raise InvalidPolicyError(what, where=str(directory))
        directory.mkdir(parents=True, exist_ok=True)
        content = {
            "kind": self.kind,
            "about": dict(self.about if about is None else about),
            "params": self.params,
            "state": {"action_ids": list(self.action_ids), **self._state()},
        }
        self._save_files(directory)
        model_files.write(directory, content)

    @property
    def _where(self) -> str:
        return f"policy {type(self).__name__}"

    def _refused(self, what: str, hint: str | None = None) -> InvalidPolicyError:
        return InvalidPolicyError(what, where=self._where, hint=hint)

    def _eligible_set(self, contexts: pd.DataFrame | None, eligible: ArrayLike | None) -> Bools:
        k = len(self.action_ids)
        if eligible is None:
            if contexts is None:
                raise self._refused(
                    "without contexts and eligible sets there are no rows",
                    "pass contexts, or eligible as an (n, k) array of bool",
                )
            return np.ones((len(contexts), k), dtype=bool)
        named = by_action(eligible, self.action_ids, self._where, InvalidPolicyError)
        try:
            mask = np.asarray(named)
        except ValueError as error:
            raise self._refused(f"eligible cannot be read as an (n, {k}) array: {error}") from error
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape[1] != k:
            raise self._refused(
                f"eligible is {mask.dtype} of shape {mask.shape}, not bool of shape (n, {k})"
            )
        if contexts is not None and len(contexts) != len(mask):
            raise self._refused(
                f"{len(contexts)} rows of contexts do not go with {len(mask)} eligible sets"
            )
        self._require(mask.any(axis=1), "some action must be eligible")
        return mask

    def _require(self, holds: Any, rule: str) -> None:
        require(holds, rule, error=InvalidPolicyError, where=self._where)


def require_features(
    contexts: pd.DataFrame | None, features: Sequence[str], where: str
) -> pd.DataFrame:
    """The contexts, checked to hold every feature a policy reads.

    Raises:
        InvalidPolicyError: there are no contexts, or a column is missing; it names the closest.
    """
    if contexts is None:
        what = f"contexts are needed for the features {', '.join(features)}"
        raise InvalidPolicyError(what, where=where)
    missing = [name for name in features if name not in contexts.columns]
    if missing:
        what = f"contexts lack {len(missing)} of {len(features)} features; first: {missing[0]!r}"
        require_known(missing[0], contexts.columns, InvalidPolicyError, what, where)
    return contexts


def load_policy(path: str | Path) -> Policy:
    """The policy that `Policy.save` wrote into the directory `path`.

    Raises:
        ModelFileError: a file is not the one that was saved, `policy.json` describes no policy, or
            its kind is not in `POLICIES`.
    """
    directory = Path(path)
    content = model_files.read(directory)
    kind, where = str(content.get("kind")), str(directory / model_files.FILE)
    policy_class = _registered(kind, where, ModelFileError)
    with model_files.reading(directory, model_files.FILE):
        policy = policy_class._load(directory, content["state"])
        policy.about = dict(content["about"])
    return policy


def _registered(kind: str, where: str, error: type[NbaError] = InvalidPolicyError) -> type[Policy]:
    what = f"the kind of policy {kind!r} is not in policies.policy.POLICIES"
    require_known(kind, POLICIES, error, what, where)
    entry = POLICIES[kind]
    return cast("type[Policy]", resolve_name(entry)) if isinstance(entry, str) else entry
