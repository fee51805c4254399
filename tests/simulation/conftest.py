"""Small worlds that several tests look at."""

from __future__ import annotations

import pytest

from policies.deciding.groups import Groups
from simulation import Day, World, scenario

GROUPS = Groups(uniform=0.2, holdout=0.1, salt="test")


@pytest.fixture(scope="session")
def world() -> World:
    """The stable world with 300 customers."""
    return scenario("stable", customers=300, seed=5)


@pytest.fixture(scope="session")
def days(world: World) -> list[Day]:
    """Forty days of the stable world under the business rules, with a holdout."""
    return list(world.run(40, "2026-01-01", floor=0.02, groups=GROUPS))
