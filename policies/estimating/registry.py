"""Estimators by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policies.errors import EvaluationError, did_you_mean
from policies.estimating.auto import Auto
from policies.estimating.estimators import (
    DM,
    DR,
    IPS,
    IX,
    LS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    Replay,
    SubGaussianDR,
    SubGaussianIPS,
    SwitchDR,
)

_SIMPLE = (IPS, DM, DR, Replay, SNIPS, SNDR, ClippedIPS, SwitchDR, DRos, IX, LS)
ESTIMATORS: dict[str, type[Estimator]] = {
    kind.name: kind for kind in (*_SIMPLE, SubGaussianIPS, SubGaussianDR, Auto)
}


def as_estimator(named: str | Estimator) -> Estimator:
    """The estimator of this name, or the instance itself.

    Raises:
        EvaluationError: for a name that is not in ESTIMATORS.
    """
    if isinstance(named, Estimator):
        return named
    if isinstance(named, type):
        raise EvaluationError(f"{named.__name__} is a class", hint=f"write {named.__name__}()")
    if not isinstance(named, str) or named not in ESTIMATORS:
        raise EvaluationError(
            f"no estimator is called {named!r}", hint=did_you_mean(str(named).lower(), ESTIMATORS)
        )
    return ESTIMATORS[named]()


def as_estimators(named: str | Estimator | Iterable[str | Estimator]) -> list[Estimator]:
    """The estimators of these names and instances."""
    if isinstance(named, (str, Estimator, type)) or not isinstance(named, Iterable):
        return [as_estimator(named)]
    several = [as_estimator(one) for one in named]
    if not several:
        raise EvaluationError("no estimator was asked for", hint='estimators=["ips", "dr"]')
    return several


def labels(estimators: Sequence[Estimator]) -> list[str]:
    """What results call each estimator: its name, or its repr where the name occurs twice."""
    names = [estimator.name for estimator in estimators]
    return [
        repr(estimator) if names.count(estimator.name) > 1 else estimator.name
        for estimator in estimators
    ]
