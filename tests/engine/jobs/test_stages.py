"""What training does with a lineage whose newest version is refused."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from engine.jobs import stages
from engine.refs import PolicyRef
from engine.training.train import Trained
from policies import UniformPolicy
from policies.judging.lineages import Lineage

DAY = dt.date(2026, 3, 9)
NEWEST = UniformPolicy(["a", "b"])


@pytest.mark.parametrize(("newest", "refusals"), [(NEWEST, ""), (None, "; version 2 REFUSED: why")])
def test_a_refused_version_is_not_trained_on(
    monkeypatch: pytest.MonkeyPatch, newest: Optional[UniformPolicy], refusals: str
) -> None:
    """The lineage goes on where its newest version can be used; else training chooses anew."""
    lineage, trials = Lineage("a@2026-03-01", DAY, (("2", DAY),)), []

    def train(*arguments: Any) -> Trained:
        trials.append(arguments[-1])
        split: Any = SimpleNamespace(
            fit_span=SimpleNamespace(rows=1), select_span=SimpleNamespace(rows=1)
        )
        return Trained(None, None, split)

    standing = SimpleNamespace(
        champion=PolicyRef.parse("baseline:uniform"),
        lineage_before=lineage,
        full_name=str,
        policy=lambda _: NEWEST,
        usable=lambda _: newest,
        refusals=refusals,
    )
    run: Any = SimpleNamespace(
        parameters=SimpleNamespace(as_of=DAY),
        standing=standing,
        tables=None,
        config=None,
        registry=None,
        features={},
        require=lambda *_: None,
        reconcile=lambda: None,
    )
    monkeypatch.setattr(stages, "matured_log", lambda *_: nullcontext())
    monkeypatch.setattr(stages, "train", train)
    result = stages.model_training(run)
    assert trials == [(lineage, newest) if newest else None]
    assert result.summary.endswith(f"no acceptable recipe last time either{refusals}")
