"""The estimator that is chosen by what the log says about the errors of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from policies.errors import EvaluationError
from policies.estimating import estimators as kinds
from policies.estimating.blocks import map_blocks
from policies.estimating.estimators import ESTIMATORS, Estimator, as_estimators
from policies.estimating.rows import EvaluationRows
from policies.estimating.summing import ratio_sums
from policies.estimating.sums import Parts, Sums, contributions

SHARED_ROWS = 32_768  # fewer, and two threads wait for one another
CAUTION = 0.5  # of a bias's own variance: a bias that happens to read 0 is not taken to be 0
STRENGTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # of sub-Gaussian shrinkage
CUTS = (0.8, 0.9, 0.95, 0.99)  # quantiles of the weights to clip or switch at


@dataclass(frozen=True)
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
        pool: candidates, names or instances, the first unbiased; None = DR with three kinds of
            shrinkage, SNDR and DM, or their IPS kin where there is no reward model.
    """

    name = "auto"
    pool: Optional[Sequence[str | Estimator]] = None

    def __post_init__(self) -> None:
        """Read the names, and check that the first member is unbiased."""
        if self.pool is None:
            return
        members = tuple(as_estimators(self.pool))
        if not members[0].unbiased:
            raise EvaluationError(
                "the first estimator of a pool must be unbiased", hint="start with IPS() or DR()"
            )
        object.__setattr__(self, "pool", members)

    def parts(self, rows: EvaluationRows) -> Parts:
        """Those of the member that these rows choose."""
        return self.chosen(rows).given(len(rows)).parts(rows)

    def chosen(self, ours: EvaluationRows, theirs: EvaluationRows | None = None) -> Estimator:
        """The member that these rows choose, for a value or for a paired difference."""
        members = _pool(ours, theirs) if self.pool is None else as_estimators(self.pool)
        pool, n = [member.chosen(ours, theirs) for member in members], len(ours)
        own, away = _sums(pool, ours, theirs)
        risks = np.array([sums.square / n for sums in own])
        for place, sums in enumerate(away, start=1):
            noise = sums.square / n
            risks[place] += n * max(sums.mean**2 - noise / n, CAUTION * noise / n)
        return pool[int(np.argmin(np.where(np.isnan(risks), np.inf, risks)))]

    def interval_from(self, rows: EvaluationRows) -> Estimator:
        """The unbiased first member of the pool."""
        if self.pool is not None:
            return as_estimators(self.pool)[0]
        return kinds.IPS() if rows.direct is None else kinds.DR()


def _sums(
    pool: Sequence[Estimator], ours: EvaluationRows, theirs: EvaluationRows | None
) -> tuple[list[Sums], list[Sums]]:
    """Sums of each member's contributions, and of each further one's differences to the first's.

    Contributions are to a value, or to a paired difference.
    """
    sides = [ours] if theirs is None else [ours, theirs]
    pool = [member.given(len(ours)) for member in pool]
    wholes = [[ratio_sums(member, side) for side in sides] for member in pool]

    def work(block: slice) -> tuple[list[Sums], list[Sums]]:
        parts, first, own, away = [side[block] for side in sides], None, [], []
        for member, whole in zip(pool, wholes):
            values = [contributions(member.parts(part), sums) for part, sums in zip(parts, whole)]
            value = values[0] if theirs is None else values[0] - values[1]
            own.append(Sums.of(Parts(value)))
            if first is None:
                first = value
            else:
                away.append(Sums.of(Parts(value - first)))
        return own, away

    own, away = zip(*map_blocks(work, len(ours), SHARED_ROWS))
    return [*map(Sums.merged, zip(*own))], [*map(Sums.merged, zip(*away))]


def _pool(ours: EvaluationRows, theirs: EvaluationRows | None) -> list[Estimator]:
    """The default pool; where it cuts weights depends on the weights, not on the rewards."""
    weight = ours.weight if theirs is None else np.maximum(ours.weight, theirs.weight)
    most = max(float(weight.max(initial=1.0)), 1.0)
    cuts = [float(cut) for cut in np.unique(np.quantile(weight, CUTS)) if 0 < cut < most]
    if ours.direct is None:
        pool: list[Estimator] = [kinds.IPS(), kinds.SNIPS(), *map(kinds.ClippedIPS, cuts)]
        return pool + [kinds.SubGaussianIPS(lam) for lam in STRENGTHS]
    lams = np.geomspace(1.0, most**2, 8) if most > 1 else np.array([1.0])
    pool = [kinds.DR(), kinds.SNDR(), *map(kinds.SwitchDR, cuts), *map(kinds.DRos, lams)]
    return [*pool, *map(kinds.SubGaussianDR, STRENGTHS), kinds.DM()]


ESTIMATORS[Auto.name] = Auto
