"""The simulated source: what was really decided is answered as the world would have answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.config import load_config
from engine.world.source import MEMORY_DAYS, Simulated
from policies.deciding.decision import decision_ids
from policies.deciding.groups import Groups
from simulation import scenario

START = "2026-01-01"


@pytest.mark.parametrize("name", ["stable", "fatigue", "season"])
def test_decisions_are_answered_as_in_the_world(name: str) -> None:
    """From a week of decisions the source asks just what makes the world repeat itself."""
    world = scenario(name, 120, seed=4)
    days = list(world.run(15, START, floor=0.02, groups=Groups(0.2, 0.05)))
    taken = pd.concat(
        pd.DataFrame(
            {
                "customer_id": day.contexts["customer_id"],
                "decision_date": day.date.astype("datetime64[ns]"),
                "decision_id": decision_ids(day.contexts["customer_id"].to_numpy(), day.date),
                "action_id": np.array(world.action_ids)[day.decisions.action],
                "channel": np.array(world.catalogue.channels)[day.decisions.action],
            }
        )
        for day in days[12 - MEMORY_DAYS :]
    )
    source = Simulated(world, load_config(Path("conf")), 15)
    asked = source.all_decisions(taken, np.array([day.date for day in days[12:]]))
    events, outcomes = world.answer(asked)
    pd.testing.assert_frame_equal(
        events, pd.concat([day.events for day in days[12:]], ignore_index=True)
    )
    pd.testing.assert_frame_equal(
        outcomes, pd.concat([day.outcomes for day in days[12:]], ignore_index=True)
    )
