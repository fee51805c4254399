"""Estimators of a policy's value: each gives its parts of some rows, and the formula is the code.

What each is good for, and when it fails, side by side: docs/estimators.md.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Optional

import numpy as np

from policies.errors import EvaluationError, did_you_mean
from policies.estimating.rows import EvaluationRows
from policies.estimating.sums import Parts
from policies.log import Floats


class Estimator(ABC):
    """One way to estimate a value; its one duty is its parts of some rows.

    Attributes:
        name: how `estimators=` calls it.
        needs_model: whether expected_reward must be given.
        unbiased: whether each row's contribution has that row's value as its mean, whatever
            happened before: what the intervals `bernstein` and `sequence` rest on.
    """

    name: ClassVar[str]
    needs_model: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False

    @abstractmethod
    def parts(self, rows: EvaluationRows) -> Parts:
        """Their contributions, or for a ratio direct, weighted and weight; see `Parts`.

        Each row's depend on nothing but the row, so a log may be read in any parts.
        """

    def given(self, n: int) -> Estimator:
        """This estimator with the parameter that n rows choose, where none was given."""
        return self

    def chosen(self, ours: EvaluationRows, theirs: EvaluationRows | None = None) -> Estimator:
        """Itself; `Auto` gives the member it chooses for these rows, or for a pair's difference."""
        return self

    def interval_from(self, rows: EvaluationRows) -> Estimator:
        """The estimator whose contributions give the interval: itself, except for `Auto`."""
        return self


@dataclass(frozen=True)
class IPS(Estimator):
    """Inverse probability scoring: w·r.

    Unbiased when p is right and positive wherever π is. Fails when weights are large: few rows
    then carry the estimate (see effective_n). Source: Horvitz & Thompson (1952).
    """

    name = "ips"
    unbiased = True

    def parts(self, rows: EvaluationRows) -> Parts:
        """w·r."""
        return Parts(rows.weight * rows.reward)


@dataclass(frozen=True)
class DM(Estimator):
    """Direct method: Σ_a π(a)·q(a).

    As good as the reward model: its error is a bias that no interval shows (see model_skill).
    Source: Dudík, Langford & Li (2011).
    """

    name = "dm"
    needs_model = True

    def parts(self, rows: EvaluationRows) -> Parts:
        """Σ_a π(a)·q(a)."""
        return Parts(rows.model[0])


@dataclass(frozen=True)
class DR(Estimator):
    """Doubly robust: Σ_a π(a)·q(a) + w·(r − q(A)).

    Unbiased when p is right and q was made without this row; less variable than IPS as far as q is
    good. Fails like IPS when weights are large and q is poor. Source: Dudík, Langford & Li (2011).
    """

    name = "dr"
    needs_model = True
    unbiased = True

    def parts(self, rows: EvaluationRows) -> Parts:
        """Σ_a π(a)·q(a) + w·(r − q(A))."""
        direct, residual = rows.model
        contributions = rows.weight * residual
        contributions += direct
        return Parts(contributions)


@dataclass(frozen=True)
class Replay(Estimator):
    """Replay: the mean reward of rows where the target does what was logged; Σ π(A)·r / Σ π(A).

    Right for a logger that draws all actions alike, each of them in every row, and biased for any
    other, also where some rows have fewer eligible actions. A target that is not deterministic
    counts a row as far as it agrees. Source: Li, Chu, Langford & Wang (2011).
    """

    name = "replay"

    def parts(self, rows: EvaluationRows) -> Parts:
        """(0, π(A)·r, π(A))."""
        agreement = rows.target_probability
        return Parts(None, agreement * rows.reward, agreement)


@dataclass(frozen=True)
class SNIPS(Estimator):
    """Self-normalised IPS: Σ w·r / Σ w.

    Adding a constant to all rewards moves it by that constant, and it stays within the rewards
    seen. Bias falls as 1/n. Fails when there are few rows or none with weight (NaN). Source:
    Swaminathan & Joachims (2015).
    """

    name = "snips"

    def parts(self, rows: EvaluationRows) -> Parts:
        """(0, w·r, w)."""
        return Parts(None, rows.weight * rows.reward, rows.weight)


@dataclass(frozen=True)
class SNDR(Estimator):
    """Self-normalised DR: mean of Σ_a π(a)·q(a), plus Σ w·(r − q(A)) / Σ w.

    Steadier than DR where weights vary and q leaves residuals of one sign. Source: Thomas &
    Brunskill (2016), one step.
    """

    name = "sndr"
    needs_model = True

    def parts(self, rows: EvaluationRows) -> Parts:
        """(Σ_a π(a)·q(a), w·(r − q(A)), w)."""
        direct, residual = rows.model
        return Parts(direct, rows.weight * residual, rows.weight)


@dataclass(frozen=True)
class _Shrunk(Estimator):
    """An estimator whose weights are made smaller: some bias for much less variance.

    Its parameter is its one field, from 0 to `most`; None takes n to the power of `exponent`, by
    the number of rows alone, so that the bias vanishes as the log grows.
    """

    most: ClassVar[float] = math.inf
    exponent: ClassVar[float] = -0.5

    def __post_init__(self) -> None:
        """Check the parameter, and make it a float."""
        value = self.strength
        if value is None:
            return
        if not (isinstance(value, (int, float, np.number)) and 0 <= value <= self.most):
            raise EvaluationError(
                f"{type(self).__name__} cannot use {value!r}",
                hint=f"a number from 0 to {self.most:g}, or None",
            )
        object.__setattr__(self, fields(self)[0].name, float(value))

    @property
    def strength(self) -> float:
        """The parameter."""
        value: float = getattr(self, fields(self)[0].name)
        return value

    def given(self, n: int) -> Estimator:
        """This estimator with the parameter that n rows choose, where none was given."""
        if self.strength is not None:
            return self
        return replace(self, **{fields(self)[0].name: max(n, 1) ** self.exponent})

    def shrunk(self, rows: EvaluationRows) -> Floats:
        """(n,) the weights in place of w, as an array of their own."""
        raise NotImplementedError

    def parts(self, rows: EvaluationRows) -> Parts:
        """IPS's, or with a model DR's, with the shrunk weights in place of w."""
        contributions = self.shrunk(rows)
        if not self.needs_model:
            contributions *= rows.reward
            return Parts(contributions)
        direct, residual = rows.model
        contributions *= residual
        contributions += direct
        return Parts(contributions)


@dataclass(frozen=True)
class ClippedIPS(_Shrunk):
    """Clipped IPS: min(w, clip)·r.

    Too low for rewards >= 0 by what was cut off. clip=None: √n (Ionides 2008). Source: Bottou et
    al. (2013).
    """

    name = "clipped_ips"
    clip: Optional[float] = None
    exponent = 0.5

    def shrunk(self, rows: EvaluationRows) -> Floats:
        """(n,) min(w, clip)."""
        return np.minimum(rows.weight, self.strength)


@dataclass(frozen=True)
class SwitchDR(_Shrunk):
    """Switch-DR: DR where w <= tau, the reward model alone where it is larger.

    Biased by q's error on the rows switched over. tau=None: √n. Source: Wang, Agarwal & Dudík
    (2017).
    """

    name = "switch_dr"
    needs_model = True
    tau: Optional[float] = None
    exponent = 0.5

    def shrunk(self, rows: EvaluationRows) -> Floats:
        """(n,) w where w <= tau, else 0."""
        return np.where(rows.weight <= self.strength, rows.weight, 0.0)


@dataclass(frozen=True)
class DRos(_Shrunk):
    """DR with optimistic shrinkage: weights lam·w / (w² + lam).

    lam=0 is DM, lam=inf is DR; the least mean squared error for a bound on both. lam=None: n, so
    that a weight of √n is halved. Source: Su, Dimakopoulou, Krishnamurthy & Dudík (2020).
    """

    name = "dros"
    needs_model = True
    lam: Optional[float] = None
    exponent = 1.0

    def shrunk(self, rows: EvaluationRows) -> Floats:
        """(n,) lam·w / (w² + lam)."""
        if self.strength in (0, np.inf):
            return rows.weight * (0.0 if self.strength == 0 else 1.0)
        shrunk = rows.weight * rows.weight
        shrunk += self.strength
        np.divide(rows.weight, shrunk, out=shrunk)
        shrunk *= self.strength
        return shrunk


@dataclass(frozen=True)
class SubGaussianIPS(_Shrunk):
    """Sub-Gaussian IPS: weights w / (1 − lam + lam·w), which stay below 1 / lam.

    lam=0 is IPS, lam=1 ignores the target. Errors have sub-Gaussian tails, though weights may have
    heavy ones. lam=None: 1/√n. Source: Metelli, Russo & Restelli (2021), their s = −1.
    """

    name = "subgaussian_ips"
    most = 1.0
    lam: Optional[float] = None

    def shrunk(self, rows: EvaluationRows) -> Floats:
        """(n,) w / (1 − lam + lam·w)."""
        if self.strength == 1:
            return np.sign(rows.weight)
        scale = self.strength * rows.weight
        scale += 1 - self.strength
        return np.divide(rows.weight, scale, out=scale)


@dataclass(frozen=True)
class SubGaussianDR(SubGaussianIPS):
    """Sub-Gaussian DR: DR with the weights of SubGaussianIPS.

    lam=0 is DR. Source: Metelli, Russo & Restelli (2021).
    """

    name = "subgaussian_dr"
    needs_model = True


@dataclass(frozen=True)
class IX(_Shrunk):
    """Implicit exploration: π(A) / (p + gamma)·r.

    A lower bound on average for rewards >= 0, most so where p is small. gamma=None: 1/√n. Source:
    Kocák, Neu, Valko & Munos (2014); Gabbianelli, Neu & Papini (2024).
    """

    name = "ix"
    gamma: Optional[float] = None

    def shrunk(self, rows: EvaluationRows) -> Floats:
        """(n,) π(A) / (p + gamma)."""
        return rows.target_probability / (rows.action_probability + self.strength)


@dataclass(frozen=True)
class LS(_Shrunk):
    """Logarithmic smoothing: log(1 + lam·w·r) / lam.

    For rewards >= 0 a lower bound on average, with exponential concentration however large the
    weights. It has no meaning for w·r < −1/lam, so a loss is smoothed like a gain of the same size
    (−log(1 + lam·w·|r|) / lam): with losses about, the estimate is pulled towards 0 from both sides
    and is no lower bound any more; shift such rewards by a declared minimum first if you need one.
    lam=0 is IPS; lam=None: 1/√n. Source: Sakhi, Aouali, Alquier & Chopin (2024).
    """

    name = "ls"
    most = 1e300
    lam: Optional[float] = None

    def parts(self, rows: EvaluationRows) -> Parts:
        """log(1 + lam·w·r) / lam."""
        earned = rows.weight * rows.reward
        if self.strength == 0:
            return Parts(earned)
        size = np.log1p(self.strength * np.abs(earned)) / self.strength
        return Parts(np.copysign(size, earned))


_KINDS = (IPS, DM, DR, Replay, SNIPS, SNDR, ClippedIPS, SwitchDR, DRos, IX, LS)
ESTIMATORS: dict[str, type[Estimator]] = {  # by name; `Auto` enters itself
    kind.name: kind for kind in (*_KINDS, SubGaussianIPS, SubGaussianDR)
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
