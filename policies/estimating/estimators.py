"""Estimators of a policy's value: each one turns a log into one contribution per row.

What each is good for, and when it fails, side by side: docs/estimators.md.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Optional

import numpy as np

from policies.errors import EvaluationError
from policies.estimating.blocks import Moments
from policies.estimating.rows import EvaluationRows
from policies.log import Floats

Formula = Callable[
    [slice, EvaluationRows], Floats
]  # contributions of rows, from the batch's part there


class Stream(NamedTuple):
    """An estimate from one visit of all rows.

    Attributes:
        width: how many columns.
        columns: what gives them for some rows, from the batch's part there.
        summed: the estimate, and Σ of the contributions' squared distances to it, from all columns'
            moments.
    """

    width: int
    columns: Callable[[slice, EvaluationRows], list[Floats]]
    summed: Callable[[Moments], tuple[float, float]]

    @classmethod
    def of(cls, formula: Formula) -> Stream:
        """The stream whose one column is the contributions."""
        return cls(
            1,
            lambda rows, part: [formula(rows, part)],
            lambda found: (float(found.mean[0]), float(found.square[0])),
        )


class Estimator(ABC):
    """One way to estimate a value; its one duty is the contributions.

    Attributes:
        name: how `estimators=` calls it.
        needs_model: whether expected_reward must be given.
        unbiased: whether each row's contribution has that row's value as its mean, whatever
            happened before: what the intervals `bernstein` and the sequences rest on.
        by_row: whether a contribution depends on nothing but its own row.
    """

    name: ClassVar[str]
    needs_model: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    by_row: ClassVar[bool] = False

    @abstractmethod
    def contributions(self, batch: EvaluationRows) -> Floats:
        """(n,) in reward units; their mean is the estimate."""

    def formula(self, n: int) -> Formula | None:
        """What gives contributions of some of n rows from these rows alone; None: it takes all."""
        return (lambda _, part: self.contributions(part)) if self.by_row else None

    def in_blocks(self, batch: EvaluationRows) -> Formula:
        """What gives contributions of some of the batch's rows, as parts of all of them."""
        formula = self.formula(len(batch))
        if formula is not None:
            return formula
        values = self.contributions(batch)
        return lambda rows, _: values[rows]

    def stream(self, n: int, about: float) -> Stream | None:
        """How to estimate from n rows seen once, rewards being about so large; None: keep them."""
        formula = self.formula(n)
        return None if formula is None else Stream.of(formula)

    def parts(self, batch: EvaluationRows) -> tuple[Floats, Floats, Floats]:
        """Three (n,) columns d, u, v whose sums add up over rows: mean(d) + Σ u / Σ v.

        Contributions are d + ρ + (u − ρ·v)·n / Σ v with ρ = Σ u / Σ v; v = 1 and u = 0 unless the
        estimator is a ratio.
        """
        values = self.contributions(batch)
        return values, np.zeros(len(values)), np.ones(len(values))

    def resolved(self, ours: EvaluationRows, theirs: EvaluationRows | None = None) -> Estimator:
        """Itself; one that chooses among others gives the one it chooses for these rows."""
        return self

    def anchor(self, batch: EvaluationRows) -> Estimator:
        """Whose contributions say how sure the estimate is: its own, unless it was chosen."""
        return self

    def __repr__(self) -> str:
        """How it would be written."""
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


class IPS(Estimator):
    """Inverse probability scoring: w·r.

    Unbiased when p is right and positive wherever π is. Fails when weights are large: few rows
    then carry the estimate (see effective_n). Source: Horvitz & Thompson (1952).
    """

    name = "ips"
    by_row = True
    unbiased = True

    def contributions(self, batch: EvaluationRows) -> Floats:
        """w·r, (n,)."""
        return batch.weight * batch.reward


class DM(Estimator):
    """Direct method: Σ_a π(a)·q(a).

    As good as the reward model: its error is a bias that no interval shows (see model_skill).
    Source: Dudík, Langford & Li (2011).
    """

    name = "dm"
    by_row = True
    needs_model = True

    def contributions(self, batch: EvaluationRows) -> Floats:
        """Σ_a π(a)·q(a), (n,)."""
        return batch.model[0]


class DR(Estimator):
    """Doubly robust: Σ_a π(a)·q(a) + w·(r − q(A)).

    Unbiased when p is right and q was made without this row; less variable than IPS as far as q is
    good. Fails like IPS when weights are large and q is poor. Source: Dudík, Langford & Li (2011).
    """

    name = "dr"
    by_row = True
    needs_model = True
    unbiased = True

    def contributions(self, batch: EvaluationRows) -> Floats:
        """Σ_a π(a)·q(a) + w·(r − q(A)), (n,)."""
        direct, residual = batch.model
        terms = batch.weight * residual
        terms += direct
        return terms


class _Ratio(Estimator):
    """direct + Σ weight·outcome / Σ weight: contributions are its linearised terms.

    direct + v + weight·(outcome − v) / mean(weight), v being the ratio: their mean is the estimate,
    their spread its large-sample error. Bias falls as 1/n. NaN where no row has weight.
    """

    @abstractmethod
    def _terms(self, batch: EvaluationRows) -> tuple[Floats | float, Floats, Floats]:
        """Direct, weight and outcome of each row."""

    def contributions(self, batch: EvaluationRows) -> Floats:
        """The linearised terms, (n,); their mean is the estimate itself."""
        return self.in_blocks(batch)(slice(None), batch)

    def in_blocks(self, batch: EvaluationRows) -> Formula:
        """LinearTerms of some rows, linearised around the ratio of all rows."""
        _, weights, outcomes = self._terms(batch)
        total = weights.sum()
        if not total > 0:
            return lambda _, part: np.full(len(part), np.nan)
        value, scale = weights @ outcomes / total, len(batch) / total

        def some(_: slice, part: EvaluationRows) -> Floats:
            direct, weight, outcome = self._terms(part)
            terms: Floats = outcome - value
            terms *= weight
            terms *= scale
            terms += direct + value
            return terms

        return some

    def stream(self, n: int, about: float) -> Stream | None:
        """Without a direct part: from moments of z = weight·(outcome − about), weight, z·weight.

        Any `about` gives the same ratio; one that is near keeps the sums' last digits.
        """
        if self.needs_model:
            return None

        def columns(_: slice, part: EvaluationRows) -> list[Floats]:
            weight, outcome = self._terms(part)[1:]
            away = outcome - about
            away *= weight
            return [away, weight, away * weight]

        def summed(found: Moments) -> tuple[float, float]:
            if not found.mean[1] > 0:
                return math.nan, math.nan
            off = found.mean[0] / found.mean[1]  # Σ (z − off·weight) = 0
            z, weight = found.square[:2] + n * found.mean[:2] ** 2
            square = z - 2 * off * n * found.mean[2] + off**2 * weight
            return float(about + off), float(max(square, 0.0) / found.mean[1] ** 2)

        return Stream(3, columns, summed)

    def parts(self, batch: EvaluationRows) -> tuple[Floats, Floats, Floats]:
        """Direct, weight·outcome and weight."""
        direct, weight, outcome = self._terms(batch)
        return np.broadcast_to(direct, weight.shape), weight * outcome, weight


class Replay(_Ratio):
    """Replay: the mean reward of rows where the target does what was logged; Σ π(A)·r / Σ π(A).

    Right for a logger that draws all actions alike, each of them in every row, and biased for any
    other, also where some rows have fewer eligible actions. A target that is not deterministic
    counts a row as far as it agrees. Source: Li, Chu, Langford & Wang (2011).
    """

    name = "replay"

    def _terms(self, batch: EvaluationRows) -> tuple[float, Floats, Floats]:
        return 0.0, batch.chosen, batch.reward


class SNIPS(_Ratio):
    """Self-normalised IPS: Σ w·r / Σ w.

    Adding a constant to all rewards moves it by that constant, and it stays within the rewards
    seen. Fails when there are few rows or none with weight. Source: Swaminathan & Joachims (2015).
    """

    name = "snips"

    def _terms(self, batch: EvaluationRows) -> tuple[float, Floats, Floats]:
        return 0.0, batch.weight, batch.reward


class SNDR(_Ratio):
    """Self-normalised DR: mean of Σ_a π(a)·q(a), plus Σ w·(r − q(A)) / Σ w.

    Steadier than DR where weights vary and q leaves residuals of one sign. Source: Thomas &
    Brunskill (2016), one step.
    """

    name = "sndr"
    needs_model = True

    def _terms(self, batch: EvaluationRows) -> tuple[Floats, Floats, Floats]:
        direct, residual = batch.model
        return direct, batch.weight, residual


class _Shrunk(Estimator):
    """An estimator whose weights are made smaller: some bias for much less variance.

    Its parameter is the instance's one attribute; None chooses one by the number of rows alone, so
    that the bias vanishes as the log grows.
    """

    least: ClassVar[float] = 0.0
    most: ClassVar[float] = np.inf

    def _checked(self, value: Optional[float]) -> Optional[float]:
        if value is None:
            return None
        if not (isinstance(value, (int, float, np.number)) and self.least <= value <= self.most):
            raise EvaluationError(
                f"{type(self).__name__} cannot use {value!r}",
                hint=f"a number from {self.least:g} to {self.most:g}, or None",
            )
        return float(value)

    def _by_rows(self, n: int) -> float:
        """The parameter of n rows, where none was given."""
        return 1 / math.sqrt(n)

    def _strength(self, n: int) -> float:
        (given,) = vars(self).values()
        return self._by_rows(n) if given is None else float(given)

    def _weights(self, batch: EvaluationRows, strength: float) -> Floats:
        """(n,) the weights in place of w."""
        raise NotImplementedError

    def _terms(self, batch: EvaluationRows, strength: float) -> Floats:
        weight = self._weights(batch, strength)
        if not self.needs_model:
            return weight * batch.reward
        direct, residual = batch.model
        terms = weight * residual
        terms += direct
        return terms

    def contributions(self, batch: EvaluationRows) -> Floats:
        """The estimator's terms with these weights in place of w, (n,)."""
        return self._terms(batch, self._strength(len(batch)))

    def formula(self, n: int) -> Formula:
        """The estimator's terms, with the parameter that n rows choose."""
        strength = self._strength(n)
        return lambda _, part: self._terms(part, strength)


class ClippedIPS(_Shrunk):
    """Clipped IPS: min(w, clip)·r.

    Too low for rewards >= 0 by what was cut off. clip=None: √n (Ionides 2008). Source: Bottou et
    al. (2013).
    """

    name = "clipped_ips"

    def __init__(self, clip: Optional[float] = None) -> None:
        self.clip = self._checked(clip)

    def _by_rows(self, n: int) -> float:
        return math.sqrt(n)

    def _weights(self, batch: EvaluationRows, strength: float) -> Floats:
        return np.minimum(batch.weight, strength)


class SwitchDR(_Shrunk):
    """Switch-DR: DR where w <= tau, the reward model alone where it is larger.

    Biased by q's error on the rows switched over. tau=None: √n. Source: Wang, Agarwal & Dudík
    (2017).
    """

    name = "switch_dr"
    needs_model = True

    def __init__(self, tau: Optional[float] = None) -> None:
        self.tau = self._checked(tau)

    def _by_rows(self, n: int) -> float:
        return math.sqrt(n)

    def _weights(self, batch: EvaluationRows, strength: float) -> Floats:
        return np.where(batch.weight <= strength, batch.weight, 0.0)


class DRos(_Shrunk):
    """DR with optimistic shrinkage: weights lam·w / (w² + lam).

    lam=0 is DM, lam=inf is DR; the least mean squared error for a bound on both. lam=None: n, so
    that a weight of √n is halved. Source: Su, Dimakopoulou, Krishnamurthy & Dudík (2020).
    """

    name = "dros"
    needs_model = True

    def __init__(self, lam: Optional[float] = None) -> None:
        self.lam = self._checked(lam)

    def _by_rows(self, n: int) -> float:
        return float(n)

    def _weights(self, batch: EvaluationRows, strength: float) -> Floats:
        if strength in (0, np.inf):
            return batch.weight * 0.0 if strength == 0 else batch.weight
        shrunk = batch.weight * batch.weight
        shrunk += strength
        np.divide(batch.weight, shrunk, out=shrunk)
        shrunk *= strength
        return shrunk


class SubGaussianIPS(_Shrunk):
    """Sub-Gaussian IPS: weights w / (1 − lam + lam·w), which stay below 1 / lam.

    lam=0 is IPS, lam=1 ignores the target. Errors have sub-Gaussian tails, though weights may have
    heavy ones. lam=None: 1/√n. Source: Metelli, Russo & Restelli (2021), their s = −1.
    """

    name = "subgaussian_ips"
    most = 1.0

    def __init__(self, lam: Optional[float] = None) -> None:
        self.lam = self._checked(lam)

    def _weights(self, batch: EvaluationRows, strength: float) -> Floats:
        if strength == 1:
            return np.sign(batch.weight)
        scale = strength * batch.weight
        scale += 1 - strength
        return np.divide(batch.weight, scale, out=scale)


class SubGaussianDR(SubGaussianIPS):
    """Sub-Gaussian DR: DR with the weights of SubGaussianIPS.

    lam=0 is DR. Source: Metelli, Russo & Restelli (2021).
    """

    name = "subgaussian_dr"
    needs_model = True


class IX(_Shrunk):
    """Implicit exploration: π(A) / (p + gamma)·r.

    A lower bound on average for rewards >= 0, most so where p is small. gamma=None: 1/√n. Source:
    Kocák, Neu, Valko & Munos (2014); Gabbianelli, Neu & Papini (2024).
    """

    name = "ix"

    def __init__(self, gamma: Optional[float] = None) -> None:
        self.gamma = self._checked(gamma)

    def _weights(self, batch: EvaluationRows, strength: float) -> Floats:
        return batch.chosen / (batch.action_probability + strength)


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

    def __init__(self, lam: Optional[float] = None) -> None:
        self.lam = self._checked(lam)

    def _terms(self, batch: EvaluationRows, strength: float) -> Floats:
        earned = batch.weight * batch.reward
        if strength == 0:
            return earned
        smoothed: Floats = np.copysign(np.log1p(strength * np.abs(earned)) / strength, earned)
        return smoothed
