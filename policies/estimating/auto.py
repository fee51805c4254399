"""Which estimator: by its name, or by what the log says about the errors of several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Optional

import numpy as np

from policies.errors import EvaluationError, did_you_mean
from policies.estimating.blocks import moments
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
from policies.estimating.rows import EvaluationRows
from policies.log import Floats

SHARED_ROWS = 32_768  # fewer, and two threads wait for one another
CAUTION = 0.5  # of a bias's own variance: a bias that happens to read 0 is not taken to be 0
STRENGTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # of sub-Gaussian shrinkage
CUTS = (0.8, 0.9, 0.95, 0.99)  # quantiles of the weights to clip or switch at


class Auto(Estimator):
    """The member of a pool with the least estimated mean squared error.

    The first member is unbiased. Of any other, bias b is estimated by the mean of its paired
    difference to the first, with standard error s: paired, since both see the same rows, so s is
    much smaller than either's own error. E b² exceeds the squared bias by s², so the estimated
    error is variance + max(b² − s², s²/2). That makes a better guess, not surer knowledge: the
    chosen member's own error would leave out its bias and the choosing, so standard error and
    interval are those of the unbiased first member.

    Source: Thomas & Brunskill (2016) and Su et al. (2020) minimise estimated errors so; measured
    against SLOPE (Su, Srinath & Krishnamurthy 2020) in docs/estimators.md.

    Attributes:
        pool: candidates, the first unbiased; None = DR with three kinds of shrinkage, SNDR and DM,
            or their IPS kin where there is no reward model.
    """

    name: ClassVar[str] = "auto"

    def __init__(self, pool: Optional[Sequence[str | Estimator]] = None) -> None:
        members = None if pool is None else tuple(as_estimators(pool))
        if members is not None and not (members and members[0].unbiased):
            raise EvaluationError(
                "the first estimator of a pool must be unbiased", hint="start with IPS() or DR()"
            )
        self.pool = members

    def anchor(self, batch: EvaluationRows) -> Estimator:
        """The unbiased first member of the pool."""
        return self.pool[0] if self.pool else IPS() if batch.direct is None else DR()

    def contributions(self, batch: EvaluationRows) -> Floats:
        """Those of the chosen estimator, (n,)."""
        return self.resolved(batch).contributions(batch)

    def resolved(self, ours: EvaluationRows, theirs: EvaluationRows | None = None) -> Estimator:
        """The estimator that these rows choose, for a value or for a paired difference."""
        pool = self.pool or _pool(ours, theirs)
        means, squares = _moments(pool, ours, theirs)
        best, least, n = pool[0], np.inf, len(ours)
        for each, (_, away), (risk, noise) in zip(pool, means, squares / n):
            risk += n * max(away**2 - noise / n, CAUTION * noise / n)
            if risk < least:
                best, least = each, risk
        return best


def _moments(
    pool: Sequence[Estimator], ours: EvaluationRows, theirs: EvaluationRows | None
) -> tuple[Floats, Floats]:
    """Means (m, 2) of m members' values and of their differences to the first; squares around them.

    Values are a batch's contributions, or paired differences to another's.
    """
    sides = [ours] if theirs is None else [ours, theirs]
    members = [[each.in_blocks(side) for side in sides] for each in pool]

    def columns(rows: slice) -> Iterator[Floats]:
        parts, first = [side[rows] for side in sides], None
        for member in members:
            values = [terms(rows, part) for terms, part in zip(member, parts)]
            value = values[0] if theirs is None else values[0] - values[1]
            first = value if first is None else first
            yield value
            yield value - first

    found = moments(len(ours), SHARED_ROWS, columns)
    return found.mean.reshape(-1, 2), found.square.reshape(-1, 2)


def _pool(ours: EvaluationRows, theirs: EvaluationRows | None) -> list[Estimator]:
    """The default pool; where it cuts weights depends on the weights, not on the rewards."""
    weight = ours.weight if theirs is None else np.maximum(ours.weight, theirs.weight)
    most = max(float(weight.max(initial=1.0)), 1.0)
    cuts = [float(each) for each in np.unique(np.quantile(weight, CUTS)) if 0 < each < most]
    if ours.direct is None:
        pool: list[Estimator] = [IPS(), SNIPS(), *map(ClippedIPS, cuts)]
        return pool + [SubGaussianIPS(lam) for lam in STRENGTHS]
    lams = np.geomspace(1.0, most**2, 8) if most > 1 else np.array([1.0])
    pool = [DR(), SNDR(), *map(SwitchDR, cuts), *(DRos(float(lam)) for lam in lams)]
    return [*pool, *map(SubGaussianDR, STRENGTHS), DM()]


_SIMPLE = (IPS, DM, DR, Replay, SNIPS, SNDR, ClippedIPS, SwitchDR, DRos, IX, LS)
ESTIMATORS: dict[str, type[Estimator]] = {
    each.name: each for each in (*_SIMPLE, SubGaussianIPS, SubGaussianDR, Auto)
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
    several = [as_estimator(each) for each in named]
    if not several:
        raise EvaluationError("no estimator was asked for", hint='estimators=["ips", "dr"]')
    return several


def labels(estimators: Sequence[Estimator]) -> list[str]:
    """What results call each: its name, or how it is written where a name occurs twice."""
    names = [each.name for each in estimators]
    return [repr(each) if names.count(each.name) > 1 else each.name for each in estimators]
