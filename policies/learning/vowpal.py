"""The Vowpal Wabbit policy: learned off-policy by the native driver, scored by compiled weights."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding import exploration as exploring
from policies.errors import LearningError, did_you_mean
from policies.learning.examples import (
    Encoder,
    action_text,
    adf_lines,
    regression_lines,
    shared_lines,
)
from policies.learning.scorer import LinearScorer
from policies.logged import LoggedDecisions
from policies.policy import Policy

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # 9.10 warns of its own use of pkg_resources
    import vowpalwabbit

Floats = npt.NDArray[np.float64]
CB_TYPES = ("mtr", "dr", "ips", "dm")
CHUNK = 20_000  # rows whose text is in memory at once


class VowpalPolicy(Policy):
    """A policy that scores actions linearly in the contexts and picks among them by `exploration`.

    The model is one weight per feature, per action, and per pair of the two (`-q sa`), learned on
    choice rows in the order of the log, on costs (minus the reward).

    Args:
        action_ids: k ids, equal to those of the log it learns from.
        cb_type: how a logged reward becomes costs of all actions. "mtr" regresses on logged actions
            with importance weights (Bietti et al. 2021, section 3.2); "ips" and "dr" on unbiased
            estimates of every action's cost; "dm" on logged actions without weights.
        features: columns of the contexts to learn from; None = all.
        interactions: ("sa",) for weights per action, () for the same preferences for everybody.
        learning_rate, power_t: step size and the power by which it decays.
        l1, l2: regularisation at each step.
        passes: how often the log is read.
        exploration: "greedy", "epsilon:0.1", "softmax:0.05".
        seed: of Vowpal Wabbit's own random numbers.
        reward_range: (low, high) that expected rewards are clipped to; None = the log's declared
            range, or else the one seen.
        bits: of the weight table (2**bits weights); None = enough to make collisions rare.

    Raises:
        LearningError: an argument is not one of the above.
    """

    kind: ClassVar[str] = "vowpal"

    def __init__(
        self,
        action_ids: Sequence[str],
        *,
        cb_type: str = "mtr",
        features: Sequence[str] | None = None,
        interactions: Sequence[str] = ("sa",),
        learning_rate: float = 0.5,
        power_t: float = 0.5,
        l1: float = 0.0,
        l2: float = 0.0,
        passes: int = 1,
        exploration: str = "greedy",
        seed: int = 0,
        reward_range: tuple[float, float] | None = None,
        bits: int | None = None,
    ) -> None:
        super().__init__(action_ids)
        self.settings: dict[str, Any] = {
            "cb_type": cb_type,
            "features": None if features is None else list(features),
            "interactions": list(interactions),
            "learning_rate": float(learning_rate),
            "power_t": float(power_t),
            "l1": float(l1),
            "l2": float(l2),
            "passes": int(passes),
            "exploration": exploration,
            "seed": int(seed),
            "reward_range": (
                None if reward_range is None else [float(each) for each in reward_range]
            ),
            "bits": bits,
        }
        _check(self.settings)
        self._explore = exploring.parse(exploration)
        self._encoder: Encoder | None = None
        self._scorer: LinearScorer | None = None
        self._range = (0.0, 0.0)
        self._model = b""

    @property
    def recipe(self) -> str:
        """The hyper-parameters' name, the same for every fit of them: `mtr-lr0.5-p1-ab12cd`."""
        text = json.dumps(self.settings, sort_keys=True)
        short = hashlib.sha256(text.encode()).hexdigest()[:6]
        chosen = self.settings
        return f"{chosen['cb_type']}-lr{chosen['learning_rate']:g}-p{chosen['passes']}-{short}"

    @property
    def params(self) -> dict[str, Any]:
        """What describes the policy, flat."""
        return {"kind": self.kind, "recipe": self.recipe, **self.settings}

    def fit(self, log: LoggedDecisions) -> VowpalPolicy:
        """Learn from the choice rows of a log, in its order, and forget what was learned before.

        Raises:
            LearningError: no choice row, no contexts, other actions, one action or one reward only,
                or a column that cannot be learned from.
        """
        log = _learnable(log, self.action_ids)
        contexts = log.contexts
        assert contexts is not None  # _learnable saw to it
        encoder = Encoder.fit(contexts, self.settings["features"])
        with tempfile.TemporaryDirectory(prefix="vowpal-") as folder:
            self._model = self._learn(log, encoder, Path(folder))
        seen = (log.reward.min(), log.reward.max())
        low, high = self.settings["reward_range"] or log.reward_range or seen
        self._range = (float(low), float(high))
        self._encoder = encoder
        check = encoder.encode(contexts.iloc[:8])
        self._scorer = LinearScorer.read(self._ask_vowpal, check)
        return self

    def expected_reward(self, contexts: pd.DataFrame) -> Floats:
        """The (n, k) expected rewards, clipped to the reward range.

        Raises:
            LearningError: not fitted, or a column is absent or changed its type.
        """
        encoder, scorer = self._fitted()
        return np.clip(scorer.scores(encoder.encode(contexts)), *self._range)

    def vowpal_scores(self, contexts: pd.DataFrame) -> Floats:
        """The (n, k) unclipped scores by Vowpal Wabbit itself, row by row: slow, for comparison."""
        return self._ask_vowpal(self._fitted()[0].encode(contexts))

    def _weights(self, contexts: pd.DataFrame | None, eligible: npt.NDArray[np.bool_]) -> Floats:
        if contexts is None:
            raise LearningError(f"the policy {self.recipe} decides by contexts", hint="pass them")
        return self._explore(self.expected_reward(contexts), eligible)

    def _fitted(self) -> tuple[Encoder, LinearScorer]:
        if self._encoder is None or self._scorer is None:
            raise LearningError(
                f"the policy {self.recipe} has not learned yet", hint="call fit(log)"
            )
        return self._encoder, self._scorer

    def _learn(self, log: LoggedDecisions, encoder: Encoder, folder: Path) -> bytes:
        """Write the log as text, let the native driver read it, and return the model file."""
        passes, repeats = self.settings["passes"], 1
        if self.settings["cb_type"] == "mtr" and len(np.unique(log.eligible.sum(axis=1))) > 1:
            # The weights of mtr depend on all eligible sets so far, so every pass has its own.
            passes, repeats = 1, passes
        with (folder / "log").open("wb") as file:
            for block in _blocks(log, encoder, self.settings["cb_type"], repeats):
                file.write(block)
        arguments = [*self._arguments(encoder.size), "-d", str(folder / "log")]
        if passes > 1:
            cache = ["--cache_file", str(folder / "cache"), "-k", "--holdout_off"]
            arguments += ["--passes", str(passes), *cache]
        model = folder / "model"
        vowpalwabbit.Workspace(arg_list=[*arguments, "-f", str(model)]).finish()
        return model.read_bytes()

    def _arguments(self, size: int) -> list[str]:
        chosen, k = self.settings, len(self.action_ids)
        bits = chosen["bits"] or max(18, int(np.ceil(np.log2(64 * k * (size + 2)))))
        arguments = ["--quiet", "-b", str(bits), "--random_seed", str(chosen["seed"])]
        if chosen["cb_type"] != "mtr":
            arguments += ["--cb_adf", "--cb_type", chosen["cb_type"]]
        for name in ("learning_rate", "power_t", "l1", "l2"):
            arguments += [f"--{name}", repr(chosen[name])]
        for pair in chosen["interactions"]:
            arguments += ["--quadratic", pair]
        return arguments

    def _ask_vowpal(self, matrix: Floats) -> Floats:
        """The model's own (m, k) scores of an (m, p) matrix, as rewards."""
        assert self._encoder is not None  # set before anything is asked
        rows = shared_lines(self._encoder.text(matrix), len(matrix))
        actions = [action_text(index).strip() for index in range(len(self.action_ids))]
        with tempfile.NamedTemporaryFile(prefix="vowpal-") as file:
            file.write(self._model)
            file.flush()
            model = vowpalwabbit.Workspace(arg_list=["--quiet", "-t", "-i", file.name])
        if self.settings["cb_type"] == "mtr":
            lines = [f"{row} {action}" for row in rows for action in actions]
            costs = np.array([_unclipped(model, line) for line in lines])
        else:
            costs = np.array([model.predict([f"shared {row}", *actions]) for row in rows])
        model.finish()
        return -costs.astype(np.float64).reshape(len(rows), len(actions))

    def _state(self) -> dict[str, Any]:
        encoder, _ = self._fitted()
        return {"settings": self.settings, "encoder": encoder.to_dict(), "range": list(self._range)}

    def _save_files(self, path: Path) -> None:
        _, scorer = self._fitted()
        weights = np.column_stack([scorer.weights, scorer.bias])
        np.save(path / "weights.npy", weights, allow_pickle=False)
        (path / "model.vw").write_bytes(self._model)

    @classmethod
    def _load(cls, path: Path, state: dict[str, Any]) -> VowpalPolicy:
        policy = cls(state["action_ids"], **state["settings"])
        weights = np.load(path / "weights.npy", allow_pickle=False)
        policy._encoder = Encoder.from_dict(state["encoder"])
        policy._scorer = LinearScorer(np.ascontiguousarray(weights[:, :-1]), weights[:, -1].copy())
        policy._range = (state["range"][0], state["range"][1])
        policy._model = (path / "model.vw").read_bytes()
        return policy


def _unclipped(model: vowpalwabbit.Workspace, line: str) -> float:
    """A regression's prediction before it is clipped to the costs that were seen."""
    example = model.example(line)
    model.predict(example)
    score = float(example.get_partial_prediction())
    model.finish_example(example)
    return score


def _blocks(
    log: LoggedDecisions, encoder: Encoder, cb_type: str, repeats: int
) -> Iterator[memoryview]:
    """The log's text, a bounded number of rows at a time."""
    events = actions = 0
    assert log.contexts is not None
    for _ in range(repeats):
        for start in range(0, len(log), CHUNK):
            rows = slice(start, start + CHUNK)
            features = encoder.text(encoder.encode(log.contexts.iloc[rows]))
            action, eligible = log.action[rows], log.eligible[rows]
            cost, probability = -log.reward[rows], log.action_probability[rows]
            if cb_type != "mtr":
                yield adf_lines(features, action, cost, probability, eligible)
                continue
            # mtr is regression on logged actions, weighted by (events so far / their eligible
            # actions) / probability: measured equal to cb_adf, and read several times as fast.
            n_events = events + np.arange(1, len(action) + 1)
            n_actions = actions + np.cumsum(eligible.sum(axis=1))
            events, actions = int(n_events[-1]), int(n_actions[-1])
            weight = n_events / n_actions / probability
            yield regression_lines(features, action, cost, weight, log.n_actions)


def _learnable(log: LoggedDecisions, action_ids: Sequence[str]) -> LoggedDecisions:
    """The choice rows of a log that something can be learned from."""
    if tuple(log.action_ids) != tuple(action_ids):
        raise LearningError(
            f"the log's actions {list(log.action_ids)} are not the policy's {list(action_ids)}",
            hint="make the policy with the log's action_ids, in their order",
        )
    if len(log) == 0:
        raise LearningError("the log is empty", hint="wait until rewards have matured")
    if log.contexts is None:
        raise LearningError("the log has no contexts", hint="give it contexts, a row a decision")
    chosen = log[log.choice]
    if len(chosen) == 0:
        raise LearningError(
            f"none of the log's {len(log)} rows had a choice",
            hint="a row teaches only where at least two actions were eligible",
        )
    taken = np.unique(chosen.action)
    if len(taken) < 2:
        raise LearningError(
            f"every choice row took the one action {log.action_ids[taken[0]]!r}",
            hint="log with some exploration, so that actions can be told apart",
        )
    if np.ptp(chosen.reward) == 0:
        raise LearningError(
            f"every choice row has the same reward {chosen.reward[0]:g}",
            hint="check the reward's definition, or wait for more rows",
        )
    return chosen


def _check(settings: Mapping[str, Any]) -> None:
    """Raise LearningError for the first hyper-parameter that is out of its range."""
    if settings["cb_type"] not in CB_TYPES:
        name = str(settings["cb_type"])
        raise LearningError(f"unknown cb_type {name!r}", hint=did_you_mean(name, CB_TYPES))
    for pair in settings["interactions"]:
        if sorted(str(pair)) != ["a", "s"]:
            raise LearningError(
                f"interaction {pair!r} is not of one shared (s) and one action (a) namespace",
                hint='use ("sa",), which keeps the model linear and its scores compiled',
            )
    rules = {
        "learning_rate": (settings["learning_rate"] > 0, "positive"),
        "power_t": (settings["power_t"] >= 0, "0 or more"),
        "l1": (settings["l1"] >= 0, "0 or more"),
        "l2": (settings["l2"] >= 0, "0 or more"),
        "passes": (settings["passes"] >= 1, "1 or more"),
        "bits": (settings["bits"] is None or 1 <= settings["bits"] <= 31, "from 1 to 31, or None"),
    }
    for name, (holds, rule) in rules.items():
        if not holds:
            raise LearningError(f"{name} must be {rule}, and is {settings[name]!r}")
    declared = settings["reward_range"]
    if declared is not None and not (len(declared) == 2 and declared[0] < declared[1]):
        raise LearningError(f"reward_range must be (low, high), low < high: {declared!r}")
