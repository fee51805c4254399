"""How well training chooses among its recipes: by the bound, by the point value, by printed loss.

Run it with `uv run python -m benchmarks.selection [RUNS] [CUSTOMERS]`. Each run is a world of its own: 20
days are logged, the first 13 fit, the others select, and what is chosen is judged by the world's truth.
Vowpal Wabbit's printed loss is its progressive average over the rows that it learns from.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import vowpalwabbit

from benchmarks.training import write_adf
from policies import (
    AsDeployed,
    Exploration,
    LoggedDecisions,
    Policy,
    VowpalPolicy,
    default_grid,
    select,
)
from simulation import scenario

DAYS, FIT_DAYS, EXPLORATION = 20, 13, Exploration(floor=0.02, uniform_share=0.2)


def printed_loss(policy: Policy, log: LoggedDecisions) -> float:
    """The average loss that Vowpal Wabbit prints for a recipe; infinite for what it is not."""
    if not isinstance(policy, VowpalPolicy):
        return np.inf
    chosen = policy.settings
    with tempfile.TemporaryDirectory() as folder:
        write_adf(log[log.choice], Path(folder) / "log", policy)
        options = f"--quiet -d {folder}/log --cb_adf --cb_type {chosen['cb_type']} -q sa"
        options += f" --learning_rate {chosen['learning_rate']} --passes {chosen['passes']}"
        driver = vowpalwabbit.Workspace(f"{options} -k --cache_file {folder}/c --holdout_off")
        loss = driver.get_sum_loss() / driver.get_weighted_examples()
        driver.finish()
    return float(loss)


def one(seed: int, customers: int) -> dict[str, float]:
    """What each way of choosing truly earns more than the business rules, and the grid's best."""
    world = scenario("stable", customers=customers, seed=seed)
    log = world.history(days=DAYS)
    assert log.decision_date is not None
    early, late = log.split_by_date(np.unique(log.decision_date)[FIT_DAYS])
    recipes = default_grid(world.action_ids)
    found = select(early, late, recipes, world.incumbent, exploration=EXPLORATION)

    def worth(policy: Policy) -> float:
        return world.true_value(AsDeployed(policy, EXPLORATION), late)

    grid = {each.recipe: found.policies[each.recipe] for each in recipes}
    truth = {name: worth(policy) for name, policy in grid.items()}
    rules = worth(world.incumbent)
    table = found.table.loc[list(grid)]
    ways: dict[str, Callable[[str], float]] = {
        "point value": lambda name: float(table.loc[name, "value"]),
        "lower bound of one": lambda name: float(table.loc[name, "low"]),
        "printed loss": lambda name: -printed_loss(grid[name], early),
    }
    gains = {way: truth[max(grid, key=score)] - rules for way, score in ways.items()}
    gains["as shipped"] = worth(found.best) - rules
    return {**gains, "best of the grid": max(truth.values()) - rules}


def main() -> None:
    """Print, for each way of choosing, its gain, its regret and how often it is below the rules."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    customers = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    gains = pd.DataFrame([one(seed, customers) for seed in range(runs)])
    best = gains["best of the grid"]
    print(f"{runs} worlds of {customers} customers, {DAYS} days; reward per decision")
    for way in gains:
        regret = best - gains[way]
        error = regret.std() / np.sqrt(runs)
        print(
            f"{way:20} gain {gains[way].mean():+.4f}  regret {regret.mean():+.4f} ± {error:.4f}"
            f"  below the rules {(gains[way] < 0).mean():.1%}"
        )


if __name__ == "__main__":
    main()
