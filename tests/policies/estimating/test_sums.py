"""Partial sums: parts add up to the whole, and say what the whole log says."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest

from policies.estimating.estimators import DM, DR, IPS, SNDR, SNIPS, ClippedIPS, DRos, Estimator
from policies.estimating.rows import batch_of
from policies.estimating.sums import CustomerSums, segment_sums
from policies.judging.values import evaluate

EACH = [IPS(), SNIPS(), DM(), DR(), SNDR(), ClippedIPS(3.0), DRos(4.0)]


@pytest.mark.parametrize("estimator", EACH, ids=repr)
@pytest.mark.parametrize("customers", [None, 60])
def test_parts_add_up(contextual: Any, estimator: Estimator, customers: int | None) -> None:
    """Sums of random parts, customers split among them, give the whole log's row to 1e-9."""
    log, target, means = contextual(8, 900, customers=customers)
    whole = evaluate(log, target, estimators=[estimator], expected_reward=means * 0.7).iloc[0]
    part = np.random.default_rng(1).integers(0, 4, len(log))
    parts = []
    for each in range(4):
        rows = np.flatnonzero(part == each)
        batch = batch_of(log[rows], target[rows], means[rows] * 0.7)
        parts.append(CustomerSums.of(batch, log.choice[rows], log.customers[0][rows], estimator))
    merged = reduce(add, parts)
    halves = [merged.key % 2 == 0, merged.key % 2 == 1]
    sums = reduce(
        add,
        (
            CustomerSums(merged.key[rows], merged.columns[rows], merged.weights[rows]).sums()
            for rows in halves
        ),
    )
    found = sums.row()
    for name, value in found.items():
        assert value == pytest.approx(whole[name], rel=1e-9), name


def test_segments_are_logs_of_their_own(contextual: Any) -> None:
    """A segment's sums say what evaluate says of that segment's rows alone."""
    log, target, means = contextual(9, 900, customers=80)
    segments = (log.contexts["kind"] == "high").to_numpy().astype(int)
    batch = batch_of(log, target, means)
    for number, sums in segment_sums(batch, log.choice, log.customers[0], segments, SNIPS()):
        rows = segments == number
        alone = evaluate(log[rows], target[rows], estimators="snips").iloc[0]
        for name, value in sums.row().items():
            assert value == pytest.approx(alone[name], rel=1e-9), name
