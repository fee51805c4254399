"""The Vowpal Wabbit policy: learned off-policy by the native driver, scored by compiled weights."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from policies.columns import as_frame
from policies.deciding import exploration as exploring
from policies.deciding.groups import uniforms
from policies.encoder import Encoded, Encoder
from policies.errors import LearningError
from policies.learning.reading import BLOCK, Block, Logs, Survey, blocks, survey
from policies.learning.vowpal import driver
from policies.learning.vowpal.examples import (
    action_texts,
    adf_lines,
    feature_text,
    regression_lines,
    row_texts,
)
from policies.learning.vowpal.scorer import LinearScorer
from policies.learning.vowpal.settings import checked
from policies.policy import Policy

Floats = npt.NDArray[np.float64]
KEPT = ("rows", "eligible", "bits", "unit", "taken")  # of Learned, beside the model file
STEPPING = ("learning_rate", "power_t", "l1", "l2")  # what the model file does not keep


@dataclass(frozen=True)
class Learned:
    """What the driver left behind, and what it needs to go on.

    Attributes:
        model: its model file.
        rows, eligible: choice rows so far, and their eligible actions: mtr's weights.
        bits: of the weight table.
        unit: rewards are learned in multiples of it, a power of 2: steps that suit rewards around 1
            suit no others.
        taken: ids of the actions that were ever taken on a choice row.
    """

    model: bytes = b""
    rows: int = 0
    eligible: int = 0
    bits: int = 0
    unit: float = 1.0
    taken: Sequence[str] = ()


class VowpalPolicy(Policy):
    """A policy that scores actions linearly in the encoded contexts and picks by `exploration`.

    An action that was never taken in the log, and that nothing describes, is scored below all others
    of its row: the floor and the uniform share try it, and then it is learned.

    The model is one weight per feature, per action, and per pair of the two (`-q sa`), learned on
    choice rows in the order of the log, on costs (minus the reward). Order matters: one pass over
    a log that drifts ends closer to its end.

    Args:
        action_ids: k ids, equal to those of the log it learns from.
        cb_type: how a logged reward becomes costs of all actions. "mtr" regresses on logged actions
            with importance weights (Bietti et al. 2021, section 3.2); "ips" and "dr" on unbiased
            estimates of every action's cost; "dm" on logged actions without weights. "sm" follows
            the gradient of a softmax policy's value: its scores are preferences, not rewards.
        features: columns of the contexts to learn from; None = all.
        interactions: ("sa",) for weights per action, () for the same preferences for everybody.
        standardise: whether a number's mean is subtracted. Often better; left out, the policy learns
            what Vowpal Wabbit itself learns from the plain numbers.
        bins: into how many equally filled bins numbers are cut besides, so that scores can follow
            any curve; 0 for none.
        action_features: action id -> what describes it (texts and numbers); actions with a feature
            in common learn it together, and a new one starts with what it shares.
        learning_rate, power_t: step size and the power by which it decays.
        l1, l2: regularisation at each step.
        passes: how often the log is read.
        half_life: days after which a decision counts half as much as one of the newest day; None =
            all alike. Only "mtr" has such weights.
        bootstrap: a number by which each decision is counted 0, 1, 2 … times, Poisson with mean 1
            (Oza & Russell 2001); policies of several numbers make a bag, see `Averaged`. Only "mtr".
        max_weight: importance weights 1/p are cut there; None = nowhere.
        exploration: "greedy", "epsilon:0.1", "softmax:0.05", "squarecb:100".
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
        standardise: bool = False,
        bins: int = 0,
        action_features: Mapping[str, Mapping[str, float | str]] | None = None,
        learning_rate: float = 0.5,
        power_t: float = 0.5,
        l1: float = 0.0,
        l2: float = 0.0,
        passes: int = 1,
        half_life: float | None = None,
        bootstrap: int | None = None,
        max_weight: float | None = None,
        exploration: str = "greedy",
        seed: int = 0,
        reward_range: tuple[float, float] | None = None,
        bits: int | None = None,
    ) -> None:
        super().__init__(action_ids)
        self.settings = checked(
            {
                "cb_type": cb_type,
                "features": features,
                "interactions": interactions,
                "standardise": standardise,
                "bins": bins,
                "action_features": action_features,
                "learning_rate": learning_rate,
                "power_t": power_t,
                "l1": l1,
                "l2": l2,
                "passes": passes,
                "half_life": half_life,
                "bootstrap": bootstrap,
                "max_weight": max_weight,
                "exploration": exploration,
                "seed": seed,
                "reward_range": reward_range,
                "bits": bits,
            },
            self.action_ids,
        )
        self._explore = exploring.parse(self.settings["exploration"])
        self._actions = action_texts(self.action_ids, self.settings["action_features"])
        self._encoder: Encoder | None = None
        self._scorer: LinearScorer | None = None
        self._range = (0.0, 0.0)
        self._learned = Learned()

    @property
    def recipe(self) -> str:
        """The hyper-parameters' name, the same for every fit of them: `mtr-lr0.5-p1-ab12cd`.

        What describes the actions is no hyper-parameter: the catalogue may change on the way.
        """
        chosen = {**self.settings, "action_features": bool(self.settings["action_features"])}
        short = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:6]
        bins = f"-b{chosen['bins']}" if chosen["bins"] else ""
        rate = f"{chosen['cb_type']}-lr{chosen['learning_rate']:g}-p{chosen['passes']}"
        return f"{rate}{bins}-{short}"

    @property
    def params(self) -> dict[str, Any]:
        """What describes the policy, flat."""
        described = json.dumps(self.settings["action_features"], sort_keys=True)
        flat = {**self.settings, "action_features": described}
        return {"kind": self.kind, "recipe": self.recipe, **flat}

    def fit(self, log: Logs, *, start: VowpalPolicy | None = None) -> VowpalPolicy:
        """Learn from the choice rows of a log, in its order, and forget what was learned before.

        Args:
            log: decisions; or their parts in order, of which one at a time is in memory: a list, or
                whatever can be iterated over more than once.
            start: a fitted policy to go on from, such as yesterday's, so that `log` holds the new
                decisions only. Its encoder stays; its actions may be others: what it knows of those
                that are gone is not asked for any more.

        Raises:
            LearningError: no choice row, no contexts, other actions, one action or one reward only
                (where nothing was learned before), a column that cannot be learned from, or a start
                made with other hyper-parameters. What the policy had learned before then stays.
        """
        known = survey(log, self.action_ids, afresh=start is None)
        encoder, before = self._begin(known) if start is None else self._go_on(start)
        learned = self._learn(log, known, encoder, before)
        check = encoder.encode(known.contexts.iloc[:8])
        scorer = LinearScorer.read(self._asking(learned), encoder.size, check)
        low, high = self.settings["reward_range"] or (known.low, known.high)
        if start is not None and self.settings["reward_range"] is None:
            low, high = min(low, start._range[0]), max(high, start._range[1])
        self._encoder, self._scorer, self._learned = encoder, scorer, learned
        self._range = (float(low), float(high))
        return self

    def for_actions(
        self,
        action_ids: Sequence[str],
        action_features: Mapping[str, Mapping[str, float | str]] | None = None,
    ) -> VowpalPolicy:
        """The model read out for these actions: a new one is scored by what it shares with others.

        Without anything shared it is scored below them, until it has been tried and learned.
        """
        encoder, _ = self._fitted()
        described = action_features if self.settings["action_features"] else None
        other = VowpalPolicy(action_ids, **{**self.settings, "action_features": described})
        other._encoder, other._learned = encoder, self._learned
        other._range, other.about = self._range, self.about
        zeros = Encoded(1, tuple((at, np.zeros(1)) for at in range(encoder.size)), ())
        other._scorer = LinearScorer.read(other._asking(self._learned), encoder.size, zeros)
        return other

    def expected_reward(self, contexts: pd.DataFrame) -> Floats | None:
        """The (n, k) expected rewards, clipped to the reward range; None for cb_type "sm".

        Raises:
            LearningError: not fitted, or a column is absent or changed its type.
        """
        scores = self._scores(contexts)
        if self.settings["cb_type"] == "sm":
            return None
        return np.clip(scores, *self._range, out=scores)

    @property
    def encoder(self) -> Encoder:
        """How contexts become numbers.

        Raises:
            LearningError: not fitted.
        """
        return self._fitted()[0]

    def vowpal_scores(self, contexts: pd.DataFrame) -> Floats:
        """The (n, k) unclipped scores by Vowpal Wabbit itself, row by row: slow, for comparison."""
        return self._asking(self._learned)(row_texts(self.encoder.encode(as_frame(contexts))))

    def _weights(self, contexts: pd.DataFrame | None, eligible: npt.NDArray[np.bool_]) -> Floats:
        if contexts is None:
            raise LearningError(f"the policy {self.recipe} decides by contexts", hint="pass them")
        # Clipping makes ties of what lies beyond the range, so only what needs rewards gets them.
        bounded = exploring.needs_rewards(self.settings["exploration"])
        expected = self.expected_reward(contexts) if bounded else None
        return self._explore(self._scores(contexts) if expected is None else expected, eligible)

    def _scores(self, contexts: pd.DataFrame) -> Floats:
        """The (n, k) scores of compiled weights, unclipped."""
        encoder, scorer = self._fitted()
        contexts = as_frame(contexts)
        out = np.empty((len(contexts), len(self.action_ids)))
        for at in range(0, len(contexts), BLOCK):
            rows = slice(at, at + BLOCK)
            out[rows] = scorer.scores(encoder.encode(contexts.iloc[rows]))
        known = np.array([self._knows(each) for each in self.action_ids])
        if known.any() and not known.all():
            out[:, ~known] = out[:, known].min(axis=1, keepdims=True) - self._learned.unit
        return out

    def _knows(self, action: str) -> bool:
        return action in self._learned.taken or action in self.settings["action_features"]

    def _fitted(self) -> tuple[Encoder, LinearScorer]:
        if self._encoder is None or self._scorer is None:
            raise LearningError(
                f"the policy {self.recipe} has not learned yet", hint="call fit(log)"
            )
        return self._encoder, self._scorer

    def _begin(self, known: Survey) -> tuple[Encoder, Learned]:
        """The encoder, and what stands before the first row."""
        chosen = self.settings
        how = {name: chosen[name] for name in ("bins", "standardise")}
        encoder = Encoder.fit(known.contexts, chosen["features"], **how)
        tokens = len({name for text in self._actions for name in text.split()})
        enough = int(np.ceil(np.log2(64 * tokens * (encoder.size + 2))))
        bits = chosen["bits"] or min(max(18, enough), 31)
        return encoder, Learned(bits=bits, unit=_unit(known.largest))

    def _go_on(self, start: VowpalPolicy) -> tuple[Encoder, Learned]:
        """The encoder and the state of a policy that was made like this one."""
        if start.recipe != self.recipe:
            raise LearningError(
                f"a model of {start.recipe} cannot go on as {self.recipe}",
                hint="make both policies with the same arguments",
            )
        return start.encoder, start._learned

    def _learn(self, log: Logs, known: Survey, encoder: Encoder, before: Learned) -> Learned:
        """The state after the log."""
        chosen, passes, repeats = self.settings, self.settings["passes"], 1
        if chosen["cb_type"] == "mtr" and not (known.same_size and before.rows == 0):
            # The weights of mtr depend on all eligible sets so far, so every pass has its own.
            passes, repeats = 1, passes
        arguments = ["-b", str(before.bits), "--random_seed", str(chosen["seed"])]
        if chosen["cb_type"] != "mtr":
            arguments += ["--cb_adf", "--cb_type", chosen["cb_type"]]
        for pair in chosen["interactions"]:
            arguments += ["--quadratic", pair]
        for name in STEPPING:
            arguments += [f"--{name}", repr(chosen[name])]
        counts = np.array([before.rows, before.eligible], dtype=np.int64)

        def text() -> Iterator[memoryview]:
            for _ in range(repeats):
                for block in blocks(log, self.action_ids):
                    if len(block.action):
                        yield self._text(block, encoder, known, before, counts)

        model = driver.learn(arguments, text(), passes=passes, start=before.model)
        taken = {*before.taken, *np.array(self.action_ids)[known.taken > 0].tolist()}
        now = replace(before, model=model, taken=sorted(taken))
        return replace(now, rows=int(counts[0]), eligible=int(counts[1]))

    def _text(
        self,
        block: Block,
        encoder: Encoder,
        known: Survey,
        before: Learned,
        counts: npt.NDArray[np.int64],
    ) -> memoryview:
        """A block as text; `counts` (rows, eligible actions) goes on."""
        features, chosen = feature_text(encoder.encode(block.contexts)), self.settings
        cost, probability = -block.reward / before.unit, block.action_probability
        if chosen["max_weight"] is not None:
            probability = np.maximum(probability, 1 / chosen["max_weight"])
        if chosen["cb_type"] != "mtr":
            return adf_lines(
                features, self._actions, block.action, cost, probability, block.eligible
            )
        # mtr is regression on logged actions, weighted by (rows so far / their eligible actions) /
        # probability: measured equal to cb_adf, and read several times as fast.
        rows = counts[0] + np.arange(1, len(cost) + 1)
        eligible = counts[1] + np.cumsum(block.eligible.sum(axis=1))
        counts[:] = rows[-1], eligible[-1]
        weight = rows / eligible / probability
        if chosen["half_life"] is not None:
            weight *= _recency(block, known, chosen["half_life"])
        if chosen["bootstrap"] is not None:
            weight *= _poisson(before.rows + block.before, len(cost), chosen["bootstrap"])
        return regression_lines(features, self._actions, block.action, cost, weight)

    def _asking(self, learned: Learned) -> Callable[[list[str]], Floats]:
        """A function that gives the model's own (m, k) scores of m contexts, as rewards."""
        adf = self.settings["cb_type"] != "mtr"
        unit = 1.0 if self.settings["cb_type"] == "sm" else learned.unit
        return lambda features: -unit * driver.predictions(
            learned.model, self._actions, features, adf=adf
        )

    def _state(self) -> dict[str, Any]:
        encoder, _ = self._fitted()
        return {
            "settings": self.settings,
            "encoder": encoder.to_dict(),
            "range": list(self._range),
            "learned": {name: getattr(self._learned, name) for name in KEPT},
        }

    def _save_files(self, path: Path) -> None:
        _, scorer = self._fitted()
        weights = np.column_stack([scorer.weights, scorer.bias])
        np.save(path / "weights.npy", weights, allow_pickle=False)
        (path / "model.vw").write_bytes(self._learned.model)

    @classmethod
    def _load(cls, path: Path, state: dict[str, Any]) -> VowpalPolicy:
        policy = cls(state["action_ids"], **state["settings"])
        weights = np.load(path / "weights.npy", allow_pickle=False)
        policy._encoder = Encoder.from_dict(state["encoder"])
        if weights.shape != (len(policy.action_ids), policy._encoder.size + 1):
            raise ValueError(f"weights.npy has the shape {weights.shape}")
        policy._scorer = LinearScorer(np.ascontiguousarray(weights[:, :-1]), weights[:, -1].copy())
        policy._range = (state["range"][0], state["range"][1])
        policy._learned = Learned((path / "model.vw").read_bytes(), **state["learned"])
        return policy


def _unit(largest: float) -> float:
    """1 for rewards of usual size, else the power of 2 next to the largest."""
    if 0.1 <= largest <= 10 or largest == 0:
        return 1.0
    return float(2.0 ** round(math.log2(largest)))


def _recency(block: Block, known: Survey, half_life: float) -> Floats:
    """(n,) 1 for a decision of the newest day, half as much for one `half_life` days older."""
    if block.decision_date is None or known.newest is None:
        raise LearningError(
            "half_life needs the decisions' dates", hint="give the log its decision_date"
        )
    age = (known.newest - block.decision_date) / np.timedelta64(1, "D")
    weight: Floats = 0.5 ** (age / half_life)
    return weight


def _poisson(first: int, n: int, number: int) -> Floats:
    """(n,) draws of mean 1 that depend on the row's place among all rows and the number only."""
    rows = np.arange(first, first + n, dtype=np.uint64)
    reached = special.pdtr(np.arange(16), 1.0)  # P(at most 0, 1, 2 …)
    return np.searchsorted(reached, uniforms(rows, None, f"bootstrap:{number}")).astype(np.float64)
