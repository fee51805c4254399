"""Scoring a batch: the compiled linear scorer against per-row Vowpal Wabbit calls, in one run.

Run it with `uv run python -m benchmarks.scoring`.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.training import FEATURES, synthetic_log
from policies.learning.vowpal.policy import VowpalPolicy

ROWS, CALLS, TARGET = 200_000, 2_000, 100.0


def main() -> None:
    """Print rows a second of both, their ratio, and how far their scores are apart."""
    log = synthetic_log(20_000)
    contexts = synthetic_log(ROWS, seed=1).contexts
    assert contexts is not None
    few = contexts.iloc[:CALLS]
    print(f"{FEATURES} features, {log.n_actions} actions; rows a second")
    for cb_type in ("mtr", "dr"):
        policy = VowpalPolicy(log.action_ids, cb_type=cb_type, reward_range=(-9, 9)).fit(log)
        start = time.perf_counter()
        own = policy.vowpal_scores(few)
        per_row = CALLS / (time.perf_counter() - start)
        compiled = 0.0
        for _ in range(3):
            start = time.perf_counter()
            scores = policy.expected_reward(contexts)
            compiled = max(compiled, ROWS / (time.perf_counter() - start))
        apart = np.abs(scores[:CALLS] - own).max() / np.abs(own).max()
        print(
            f"{cb_type}: compiled {compiled:,.0f}, Vowpal Wabbit per row {per_row:,.0f}, ratio "
            f"{compiled / per_row:,.0f} (target {TARGET:.0f}), apart {apart:.1e} of the scale"
        )


if __name__ == "__main__":
    main()
