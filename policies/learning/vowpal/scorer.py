"""The compiled scorer: a linear model read out of Vowpal Wabbit into dense weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policies.encoder import Encoded
from policies.errors import LearningError
from policies.learning.vowpal.examples import row_texts, unit_texts
from policies.log import Floats

TOLERANCE = 1e-5  # of the scores' scale; Vowpal Wabbit computes in float32


@dataclass(frozen=True, eq=False)
class LinearScorer:
    """Scores of k actions as a linear function of the p columns of encoded contexts.

    Args:
        weights: (k, p), score units per unit of each column.
        bias: (k,), the scores of a row of zeros.
    """

    weights: Floats
    bias: Floats

    def scores(self, encoded: Encoded) -> Floats:
        """The (n, k) scores of n encoded contexts."""
        # A row's sum must not depend on its batch, which a matrix product's blocking decides.
        out = np.repeat(self.bias[None, :], encoded.n, axis=0)
        for index, values in encoded.numbers:
            out += values[:, None] * self.weights[:, index]
        for columns, code in encoded.codes:
            own = self.weights[:, columns.start : columns.stop].T
            out += np.vstack([np.zeros(len(self.bias)), own]).take(code, axis=0)
        return out

    @classmethod
    def read(
        cls, predict: Callable[[list[str]], Floats], size: int, check: Encoded
    ) -> LinearScorer:
        """Read a model out from its scores of zeros and unit vectors.

        Args:
            predict: the model: the features of m contexts as text to (m, k) scores.
            size: columns of the encoder's matrix (p).
            check: rows on which the weights must repeat the model's own scores.

        Raises:
            LearningError: they do not, so the model is not linear; or it diverged.
        """
        at_units = predict(unit_texts(size))
        if not np.isfinite(at_units).all():
            raise LearningError(
                "the model gives no finite scores: it diverged",
                hint="lower learning_rate, l1 or l2, or bound the rewards",
            )
        scorer = cls(np.ascontiguousarray((at_units[1:] - at_units[0]).T), at_units[0])
        own = predict(row_texts(check))
        difference = float(np.abs(scorer.scores(check) - own).max(initial=0.0))
        if not difference <= TOLERANCE * max(1e-9, float(np.abs(own).max(initial=0.0))):
            raise LearningError(
                f"the model is not linear in its features: weights miss scores by {difference:g}",
                hint="lower learning_rate, so that weights stay within float32's reach",
            )
        return scorer
