"""The Vowpal Wabbit policy: learned off-policy by the native driver, scored by compiled weights."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from policies.columns import as_frame
from policies.deciding import exploration as exploring
from policies.deciding.groups import uniforms
from policies.encoder import Encoded, Encoder
from policies.errors import LearningError, require_known
from policies.learning.reading import BLOCK, Survey, blocks, survey
from policies.learning.vowpal import driver, examples
from policies.learning.vowpal.scorer import LinearScorer
from policies.learning.vowpal.settings import VowpalSettings
from policies.log import Bools, Floats, Ints, LoggedDecisions, Logs
from policies.policy import Described, Policy

SAVED = ("rows", "eligible", "bits", "unit", "taken")  # of what was learned, beside its files
STEPPING = ("learning_rate", "power_t", "l1", "l2")  # settings that a model file does not hold


@dataclass(frozen=True)
class VowpalState:
    """What was learned, and what the driver needs to go on.

    Attributes:
        encoder: contexts to numbers.
        low, high: what expected rewards are clipped to.
        bits: of the weight table.
        unit: rewards are learned in multiples of it, a power of 2, because the step size suits
            rewards around 1.
        model: the driver's model file.
        rows, eligible: choice rows so far, and their eligible actions: mtr's weights.
        taken: ids of the actions that some choice row had.
    """

    encoder: Encoder
    low: float
    high: float
    bits: int
    unit: float
    model: bytes = b""
    rows: int = 0
    eligible: int = 0
    taken: list[str] = field(default_factory=list)


class VowpalPolicy(Policy):
    """A policy that scores actions linearly in the encoded contexts and picks by `exploration`.

    The model is one weight per feature, per action, and per pair of the two (`-q sa`), learned on
    choice rows in the order of the log, on costs (minus the reward). Order matters: one pass over
    a log that drifts ends closer to its end.

    An action that no choice row of the log had, and that nothing describes, is scored below all
    others of its row: the floor and the uniform share try it, and then it is learned.

    Args:
        action_ids: k ids, equal to those of the log it learns from.
        settings: all other arguments at once.
        given: the fields of `VowpalSettings` by name: cb_type, learning_rate, passes …

    Raises:
        LearningError: an unknown setting, or a value that it cannot have.
    """

    kind: ClassVar[str] = "vowpal"

    def __init__(
        self, action_ids: Sequence[str], settings: VowpalSettings | None = None, **given: Any
    ) -> None:
        super().__init__(action_ids)
        common = {} if settings is None else asdict(settings)
        self.settings = VowpalSettings.of({**common, **given})
        for action in self.settings.action_features:
            what = f"action_features describe {action!r}, which is no action"
            require_known(action, self.action_ids, LearningError, what)
        self._explore = exploring.parse(self.settings.exploration)
        self._actions = examples.action_texts(self.action_ids, self.settings.action_features)
        self._learned: VowpalState | None = None
        self._scorer: LinearScorer | None = None

    @property
    def name(self) -> str:
        """The settings' name, the same for every fit of them: `mtr-lr0.5-p1-ab12cd`.

        What describes the actions is no part of it: the catalogue may change on the way.
        """
        chosen = self.settings
        described = {**asdict(chosen), "action_features": bool(chosen.action_features)}
        short = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:6]
        bins = f"-b{chosen.bins}" if chosen.bins else ""
        return f"{chosen.cb_type}-lr{chosen.learning_rate:g}-p{chosen.passes}{bins}-{short}"

    @property
    def params(self) -> dict[str, Any]:
        """The settings, flat."""
        described = json.dumps(self.settings.action_features, sort_keys=True)
        flat = {**asdict(self.settings), "action_features": described}
        return {"kind": self.kind, "recipe": self.name, **flat}

    def fit(self, log: Logs, *, start: VowpalPolicy | None = None) -> VowpalPolicy:
        """A new policy that learned from the choice rows of a log, in its order.

        Args:
            log: decisions; or their parts in order, of which one at a time is in memory: a list, or
                whatever can be iterated over more than once.
            start: a fitted policy to go on from, such as yesterday's, so that `log` holds the new
                decisions only. Its encoder stays; its actions may be others: what it knows of those
                that are gone is not used any more.

        Raises:
            LearningError: no choice row, no contexts, other actions, one action or one reward only
                (where nothing was learned before), a column that cannot be learned from, or a start
                made with other settings.
        """
        known = survey(log, self.action_ids, afresh=start is None)
        before = self._blank(known) if start is None else self._continued(start, known)
        after = self._learn(log, known, before)
        return self._with(after, before.encoder.encode(known.contexts.iloc[:8]))

    def for_actions(self, action_ids: Sequence[str], action_features: Described = None) -> Policy:
        """The model read out for these actions: a new one is scored by what it shares with others.

        Without anything shared it is scored below them, until it has been tried and learned.
        """
        state, _ = self._fitted()
        described = action_features if self.settings.action_features else None
        other = VowpalPolicy(action_ids, self.settings, action_features=described)
        other.about = self.about
        zeros = ((place, np.zeros(1)) for place in range(state.encoder.size))
        return other._with(state, Encoded(1, tuple(zeros), ()))

    def expected_reward(self, contexts: pd.DataFrame) -> Floats | None:
        """The (n, k) expected rewards, clipped to the reward range; None for cb_type "sm".

        Raises:
            LearningError: not fitted, or a column is absent or changed its type.
        """
        state, _ = self._fitted()
        scores = self._scores(contexts)
        if self.settings.cb_type == "sm":
            return None
        return np.clip(scores, state.low, state.high, out=scores)

    @property
    def encoder(self) -> Encoder:
        """How contexts become numbers.

        Raises:
            LearningError: not fitted.
        """
        return self._fitted()[0].encoder

    def vowpal_scores(self, contexts: pd.DataFrame) -> Floats:
        """The (n, k) unclipped scores by Vowpal Wabbit itself, row by row: slow, for comparison."""
        state, _ = self._fitted()
        return self._predictor(state)(examples.row_texts(state.encoder.encode(as_frame(contexts))))

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        if contexts is None:
            raise LearningError(f"the policy {self.name} decides by contexts", hint="pass them")
        # Clipping makes ties of what lies beyond the range, so only what needs rewards gets them.
        bounded = exploring.needs_rewards(self.settings.exploration)
        expected = self.expected_reward(contexts) if bounded else None
        return self._explore(self._scores(contexts) if expected is None else expected, eligible)

    def _scores(self, contexts: pd.DataFrame) -> Floats:
        """The (n, k) scores of compiled weights, unclipped."""
        state, scorer = self._fitted()
        contexts = as_frame(contexts)
        out = np.empty((len(contexts), len(self.action_ids)))
        for start in range(0, len(contexts), BLOCK):
            rows = slice(start, start + BLOCK)
            out[rows] = scorer.scores(state.encoder.encode(contexts.iloc[rows]))
        known = np.isin(self.action_ids, [*state.taken, *self.settings.action_features])
        if known.any() and not known.all():
            out[:, ~known] = out[:, known].min(axis=1, keepdims=True) - state.unit
        return out

    def _fitted(self) -> tuple[VowpalState, LinearScorer]:
        if self._learned is None or self._scorer is None:
            raise LearningError(f"the policy {self.name} has not learned yet", hint="call fit(log)")
        return self._learned, self._scorer

    def _with(self, state: VowpalState, check: Encoded) -> VowpalPolicy:
        """This policy with what was learned; the weights must repeat the model's scores of `check`."""
        policy = copy.copy(self)
        policy._learned = state
        policy._scorer = LinearScorer.read(self._predictor(state), state.encoder.size, check)
        return policy

    def _blank(self, known: Survey) -> VowpalState:
        """The state before the first row."""
        chosen = self.settings
        encoder = Encoder.fit(
            known.contexts, chosen.features, bins=chosen.bins, standardise=chosen.standardise
        )
        tokens = len({name for text in self._actions for name in text.split()})
        enough = int(np.ceil(np.log2(64 * tokens * (encoder.size + 2))))
        bits = chosen.bits or min(max(18, enough), 31)
        low, high = chosen.reward_range or (known.low, known.high)
        usual = known.largest == 0 or 0.1 <= known.largest <= 10
        unit = 1.0 if usual else float(2.0 ** np.rint(np.log2(known.largest)))
        return VowpalState(encoder, float(low), float(high), bits, unit)

    def _continued(self, start: VowpalPolicy, known: Survey) -> VowpalState:
        """The state of a policy that was made like this one."""
        if start.name != self.name:
            raise LearningError(
                f"a model of {start.name} cannot go on as {self.name}",
                hint="make both policies with the same arguments",
            )
        state, _ = start._fitted()
        if self.settings.reward_range is not None:
            return state
        low, high = min(known.low, state.low), max(known.high, state.high)
        return replace(state, low=float(low), high=float(high))

    def _learn(self, log: Logs, known: Survey, before: VowpalState) -> VowpalState:
        """The state after the log."""
        chosen, passes, repeats = self.settings, self.settings.passes, 1
        if chosen.cb_type == "mtr" and not (known.same_size and before.rows == 0):
            # The weights of mtr depend on all eligible sets so far, so every pass has its own.
            passes, repeats = 1, passes
        arguments = ["-b", str(before.bits), "--random_seed", str(chosen.seed)]
        if chosen.cb_type != "mtr":
            arguments += ["--cb_adf", "--cb_type", chosen.cb_type]
        for pair in chosen.interactions:
            arguments += ["--quadratic", pair]
        for name in STEPPING:
            arguments += [f"--{name}", repr(getattr(chosen, name))]
        counts = np.array([before.rows, before.eligible], dtype=np.int64)

        def text() -> Iterator[memoryview]:
            for _ in range(repeats):
                for earlier, block in blocks(log, self.action_ids):
                    yield self._text(earlier, block, known, before, counts)

        model = driver.learn(arguments, text(), passes=passes, start=before.model)
        taken = {*before.taken, *np.array(self.action_ids)[known.counts > 0].tolist()}
        rows, eligible = counts.tolist()
        return replace(before, model=model, rows=rows, eligible=eligible, taken=sorted(taken))

    def _text(
        self, earlier: int, block: LoggedDecisions, known: Survey, before: VowpalState, counts: Ints
    ) -> memoryview:
        """A block as text; adds its rows and eligible actions to `counts`."""
        chosen, actions, action = self.settings, self._actions, block.action
        assert block.contexts is not None  # `blocks` has checked it
        features = examples.feature_text(before.encoder.encode(block.contexts))
        cost, probability = -block.reward / before.unit, block.action_probability
        if chosen.max_weight is not None:
            probability = np.maximum(probability, 1 / chosen.max_weight)
        if chosen.cb_type != "mtr":
            return examples.adf_lines(features, actions, action, cost, probability, block.eligible)
        # mtr is regression on logged actions, weighted by (rows so far / their eligible actions) /
        # probability: measured equal to cb_adf, and read several times as fast.
        rows = counts[0] + np.arange(1, len(cost) + 1)
        eligible = counts[1] + np.cumsum(block.eligible.sum(axis=1))
        counts[:] = rows[-1], eligible[-1]
        weight = rows / eligible / probability
        if chosen.half_life is not None:
            weight *= _recency(block, known, chosen.half_life)
        if chosen.bootstrap is not None:
            weight *= _poisson(before.rows + earlier, len(cost), chosen.bootstrap)
        return examples.regression_lines(features, actions, action, cost, weight)

    def _predictor(self, state: VowpalState) -> Callable[[list[str]], Floats]:
        """A function that gives the model's own (m, k) scores of m contexts, as rewards."""
        adf = self.settings.cb_type != "mtr"
        unit = 1.0 if self.settings.cb_type == "sm" else state.unit
        return lambda features: -unit * driver.predictions(
            state.model, self._actions, features, adf=adf
        )

    def _state(self) -> dict[str, Any]:
        state, _ = self._fitted()
        return {
            "settings": asdict(self.settings),
            "encoder": state.encoder.to_dict(),
            "range": [state.low, state.high],
            "learned": {name: getattr(state, name) for name in SAVED},
        }

    def _save_files(self, path: Path) -> None:
        state, scorer = self._fitted()
        weights = np.column_stack([scorer.weights, scorer.bias])
        np.save(path / "weights.npy", weights, allow_pickle=False)
        (path / "model.vw").write_bytes(state.model)

    @classmethod
    def _load(cls, path: Path, state: dict[str, Any]) -> VowpalPolicy:
        policy = cls(state["action_ids"], **state["settings"])
        weights = np.load(path / "weights.npy", allow_pickle=False)
        encoder = Encoder.from_dict(state["encoder"])
        shape = (len(policy.action_ids), encoder.size + 1)
        if weights.shape != shape or not np.isfinite(weights).all():
            raise ValueError(f"weights.npy must hold {shape} finite numbers")
        policy._scorer = LinearScorer(np.ascontiguousarray(weights[:, :-1]), weights[:, -1].copy())
        model = (path / "model.vw").read_bytes()
        low, high = state["range"]
        policy._learned = VowpalState(encoder, low, high, model=model, **state["learned"])
        return policy


def _recency(block: LoggedDecisions, known: Survey, half_life: float) -> Floats:
    """(n,) 1 for a decision of the newest day, half as much for one `half_life` days older."""
    if block.decision_date is None or known.newest is None:
        hint = "give the log its decision_date"
        raise LearningError("half_life needs the decisions' dates", hint=hint)
    age = (known.newest - block.decision_date) / np.timedelta64(1, "D")
    return np.asarray(0.5 ** (age / half_life))


_AT_MOST = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(16)])  # P(at most 0, 1, …)


def _poisson(first: int, n: int, number: int) -> Floats:
    """(n,) draws of mean 1 that depend on the row's place among all rows and the number only."""
    rows = np.arange(first, first + n, dtype=np.uint64)
    return np.searchsorted(_AT_MOST, uniforms(rows, None, f"bootstrap:{number}")).astype(np.float64)
