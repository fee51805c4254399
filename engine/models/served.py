"""The MLflow model: a saved policy that turns frames of features into decisions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

import mlflow.pyfunc
import numpy as np
import pandas as pd

CODE = Path(__file__).parent / "artifacts" / "policy" / "policies.zip"
if CODE.exists():  # in a logged model, which brings its own `policies`
    sys.path.insert(0, str(CODE))

from policies import load_policy  # noqa: E402 - the logged model's own
from policies.errors import InvalidPolicyError  # noqa: E402


class NextBestAction(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow is untyped
    """Features in; the most probable action, its probability and the whole distribution out.

    The optional column `eligible_actions` holds lists of action ids; without it, or where it is
    null, every action is eligible. Batch and endpoint add floor, groups and the draw themselves.
    """

    def load_context(self, context: Any) -> None:
        """Load the policy from the artifact logged with the model."""
        self.policy = load_policy(context.artifacts["policy"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: Optional[dict[str, Any]] = None
    ) -> pd.DataFrame:
        """One row of answers for each row of features."""
        frame = model_input.reset_index(drop=True)
        ids = self.policy.action_ids
        eligible = None
        if "eligible_actions" in frame:
            eligible = np.array([_mask(listed, ids) for listed in frame.pop("eligible_actions")])
        distribution = self.policy.distribution(frame, eligible)
        chosen = distribution.argmax(axis=1)
        rows = np.arange(len(frame))
        expected = self.policy.expected_reward(frame)
        return pd.DataFrame(
            {
                "action": np.array(ids, dtype=object)[chosen],
                "action_probability": distribution[rows, chosen],
                "expected_reward": np.nan if expected is None else expected[rows, chosen],
                "distribution": [dict(zip(ids, map(float, row))) for row in distribution],
            }
        )


def _mask(listed: Any, ids: tuple[str, ...]) -> list[bool]:
    """Which of the actions are listed; all of them without a list."""
    if listed is None or (isinstance(listed, float) and np.isnan(listed)):
        return [True] * len(ids)
    names = set(map(str, listed))
    if not names <= set(ids):
        raise InvalidPolicyError(
            f"eligible_actions holds {sorted(names - set(ids))}, which this model does not know",
            hint=f"its actions are {', '.join(ids)}",
        )
    return [name in names for name in ids]


mlflow.models.set_model(NextBestAction())
