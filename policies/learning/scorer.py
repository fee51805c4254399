"""The compiled scorer: a linear model read out of Vowpal Wabbit into dense weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.errors import LearningError

Floats = npt.NDArray[np.float64]
TOLERANCE = 1e-5  # of the scores' scale; Vowpal Wabbit computes in float32


@dataclass(frozen=True, eq=False)
class LinearScorer:
    """Scores of k actions as a linear function of p numbers.

    Args:
        weights: (k, p), reward units per unit of each number.
        bias: (k,), the scores of a row of zeros.
    """

    weights: Floats
    bias: Floats

    def scores(self, matrix: Floats) -> Floats:
        """The (n, k) scores of an (n, p) matrix, in reward units."""
        # A row's sum must not depend on its batch, which a matrix product's blocking decides.
        out = np.repeat(self.bias[None, :], len(matrix), axis=0)
        for column, weight in zip(matrix.T, self.weights.T):
            out += column[:, None] * weight
        return out

    @classmethod
    def read(cls, predict: Callable[[Floats], Floats], check: Floats) -> LinearScorer:
        """Read a model out by asking it about zeros and unit vectors.

        Args:
            predict: the model: an (m, p) matrix to (m, k) scores.
            check: (m, p) rows on which the weights must repeat the model's own scores.

        Raises:
            LearningError: they do not, so the model is not linear.
        """
        size = check.shape[1]
        at_units = predict(np.vstack([np.zeros((1, size)), np.eye(size)]))
        found = cls(np.ascontiguousarray((at_units[1:] - at_units[0]).T), at_units[0])
        own = predict(check)
        difference = float(np.abs(found.scores(check) - own).max(initial=0.0))
        if not difference <= TOLERANCE * max(1e-9, float(np.abs(own).max(initial=0.0))):
            raise LearningError(
                f"the model is not linear in its features: weights miss scores by {difference:g}",
                hint="use interactions of one shared and one action namespace only",
            )
        return found
