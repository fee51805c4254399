"""The best policy from contexts: what can be earned without the customers' latent parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from policies.errors import InvalidLogError, did_you_mean
from policies.policy import Policy, require_features
from simulation.customers import TRAITS, Bools, Floats, Ints
from simulation.response import Response


class BestFromContexts(Policy):
    """The eligible action of highest E[reward | contexts]; see `World.best_policy`.

    Args:
        response: the response model.
        action_ids: the k actions, in the order wanted.
        late: share of the rows after a shift of preferences.
    """

    kind = "best_from_contexts"

    def __init__(self, response: Response, action_ids: tuple[str, ...], late: float = 0.0) -> None:
        super().__init__(action_ids)
        self._response, self._late = response, late
        self._columns = [response.catalogue.index(action_id) for action_id in action_ids]

    def _state(self) -> dict[str, Any]:
        return {}  # it holds the response model, and so cannot be saved

    def gains(self, contexts: pd.DataFrame | None) -> Floats:
        """(n, k) E[reward | contexts] of every action less that of no contact, in visits' worth."""
        response, required = self._response, [*TRAITS, "contacts_7d"]
        if response.saturation:
            channels = response.catalogue.contact_channels
            required += [f"days_since_{channel}" for channel in channels]
        contexts = require_features(contexts, required, self._name)
        traits = {name: _codes(contexts, name) for name in TRAITS}
        uplift = response.segment_uplift(traits, self._late)
        gain = uplift * response.remaining_effect(contexts) * (1 - response.lost)
        return np.asarray((gain - response.catalogue.costs)[:, self._columns])

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        best = np.where(eligible, self.gains(contexts), -np.inf).argmax(axis=1)
        return np.asarray(np.eye(len(self.action_ids))[best])


def _codes(contexts: pd.DataFrame, name: str) -> Ints:
    """(n,) codes of a trait's values in the order of `TRAITS`."""
    codes = pd.Index(list(TRAITS[name])).get_indexer(pd.Index(contexts[name]))
    if (codes < 0).any():
        unknown = str(contexts[name].iloc[int(np.argmax(codes < 0))])
        raise InvalidLogError(
            f"no customer of this world has {name} {unknown!r}",
            hint=did_you_mean(unknown, TRAITS[name]),
        )
    return np.asarray(codes, dtype=np.int64)
