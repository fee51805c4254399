"""Fitting from a frame, formatting included, against Vowpal Wabbit's driver on ready cb_adf text.

Run it with `uv run python -m benchmarks.training`. Both learn one pass over the same log with the
same options; the driver is handed the text already formatted, the policy starts from the frame.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import vowpalwabbit

from policies.encoder import Encoder
from policies.learning.reading import blocks
from policies.learning.vowpal.examples import action_texts, adf_lines, feature_text
from policies.learning.vowpal.policy import VowpalPolicy
from policies.log import LoggedDecisions

FEATURES, ACTIONS, ROWS, ROUNDS = 10, 8, 500_000, 5
TARGETS = {"mtr": 2.0, "dr": 0.8, "ips": 0.8, "dm": 0.8}


def synthetic_log(n: int, seed: int = 0) -> LoggedDecisions:
    """n uniform decisions on normal features, with 0/1 rewards that depend on both."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, FEATURES))
    effects = np.random.default_rng(99).normal(size=(FEATURES, ACTIONS)) * 0.05
    action = random.integers(ACTIONS, size=n)
    mean = np.clip(0.15 + (features @ effects)[np.arange(n), action], 0, 1)
    return LoggedDecisions(
        tuple(f"action_{index}" for index in range(ACTIONS)),
        action,
        np.full(n, 1 / ACTIONS),
        (random.random(n) < mean).astype(np.float64),
        contexts=pd.DataFrame(features, columns=[f"feature_{j}" for j in range(FEATURES)]),
        reward_range=(0.0, 1.0),
    )


def write_adf(log: LoggedDecisions, path: Path, policy: VowpalPolicy | None = None) -> None:
    """The log as cb_adf text, encoded plainly or as a fitted policy does."""
    assert log.contexts is not None
    encoder = policy.encoder if policy else Encoder.fit(log.contexts, standardise=False)
    actions = action_texts(log.action_ids)
    with path.open("wb") as file:
        for _, block in blocks(log, log.action_ids):
            assert block.contexts is not None
            features = feature_text(encoder.encode(block.contexts))
            cost, probability = -block.reward, block.action_probability
            file.write(
                adf_lines(features, actions, block.action, cost, probability, block.eligible)
            )


def main() -> None:
    """Print decisions a second of both, the best of a few rounds each, and their ratio."""
    log = synthetic_log(ROWS)
    print(f"{ROWS:,} decisions, {FEATURES} features, {ACTIONS} actions; decisions a second")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "log"
        write_adf(log, text)
        for cb_type, target in TARGETS.items():
            fit = driver = 0.0
            for _ in range(ROUNDS):
                start = time.perf_counter()
                VowpalPolicy(log.action_ids, cb_type=cb_type).fit(log)
                fit = max(fit, ROWS / (time.perf_counter() - start))
                start = time.perf_counter()
                options = f"--quiet -d {text} --cb_adf --cb_type {cb_type} -q sa"
                vowpalwabbit.Workspace(options).finish()
                driver = max(driver, ROWS / (time.perf_counter() - start))
            print(
                f"{cb_type}: from the frame {fit:,.0f}, driver on ready text {driver:,.0f}, ratio "
                f"{fit / driver:.2f} (target {target})"
            )


if __name__ == "__main__":
    main()
