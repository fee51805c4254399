"""Mixtures: against numerical integration, their boundary, and what tuning one saves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special

from policies.sequences.boundaries import (
    LINES,
    POWER_AT,
    Tuning,
    best_rho,
    boundary,
    log_mixture,
)


@pytest.mark.parametrize(
    ("s", "v", "rho"), [(1, 0.5, 2), (30, 100, 12), (0, 5, 0.3), (400, 1e4, 5)]
)
def test_the_mixture_is_the_integral(s: float, v: float, rho: float) -> None:
    """The closed form equals the integral of exp(λs − ψ(λ)v) over the truncated gamma density."""
    constant = rho * math.log(rho) - special.gammaln(rho) - math.log(special.gammainc(rho, rho))

    def integrand(lam: float) -> float:
        psi = -math.log1p(-lam) - lam
        density = constant + (rho - 1) * math.log1p(-lam) - rho * (1 - lam)
        return math.exp(lam * s - psi * v + density)

    peak = s / (s + v + rho)
    found, _ = integrate.quad(integrand, 0, 1, points=[peak / 2, peak, peak**0.5], limit=500)
    closed = log_mixture(np.asarray(float(s)), np.asarray(float(v)), rho)
    assert float(closed) == pytest.approx(math.log(found), abs=1e-8)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
@pytest.mark.parametrize("rho", [1e-3, 1.0, 1e4])
def test_the_boundary_solves_the_mixture(alpha: float, rho: float) -> None:
    """At the boundary the mixture is 1/alpha, for every V from 0 to a billion, and it rises."""
    v = np.concatenate([[0.0], np.geomspace(1e-6, 1e9, 31)])
    s = boundary(v, alpha, rho)
    np.testing.assert_allclose(log_mixture(s, v, rho), math.log(1 / alpha), atol=1e-6)
    assert (np.diff(s) >= 0).all()


def test_rho_is_best_where_it_is_tuned() -> None:
    """The boundary at V is within 3 % of the least that any rho could give there."""
    for v in (30.0, 1_000.0, 100_000.0):
        tuned = float(boundary(v, 0.025, best_rho(0.025, v)))
        least = min(float(boundary(v, 0.025, v * scale)) for scale in np.geomspace(0.01, 1, 40))
        assert least <= tuned <= 1.03 * least


@pytest.mark.parametrize("alpha", [0.5, 0.03, 1e-6])
@pytest.mark.parametrize("effect", [1.0, 1e-2, 1e-5])
def test_the_boundary_of_a_tuned_mixture(alpha: float, effect: float) -> None:
    """There the weighted sum of two exponentials and the gamma mixture is 1/alpha, and it rises."""
    v = np.concatenate([[0.0], np.geomspace(1e-6, 1e9, 31)])
    tuning = Tuning.to_decide(effect, 0.2, alpha, 1.0)
    s = boundary(v, alpha, tuning.rho, tuning.lines)
    rest = 1 - sum(weight for _, weight in LINES)
    parts = [log_mixture(s, v, tuning.rho) + math.log(rest)]
    parts += [lam * s - (-math.log1p(-lam) - lam) * v + math.log(w) for lam, w in tuning.lines]
    np.testing.assert_allclose(special.logsumexp(parts, axis=0), math.log(1 / alpha), atol=1e-6)
    assert (np.diff(s) >= -1e-9 * s[1:]).all()
    assert (s <= (1 + 1e-9) * boundary(v, alpha * rest, tuning.rho)).all()


def test_tuning_by_hand() -> None:
    """With alpha = e⁻², variance 1 and effect .1 a decision is due at V = (10·(.8416 + 2))²."""
    v = (10 * (0.8416 + 2.0)) ** 2
    found = Tuning.to_decide(0.1, 1.0, math.exp(-2), 1.0)
    slopes = [0.75 * 2 / math.sqrt(v), 1.15 * 2 / math.sqrt(v)]
    assert [lam for lam, _ in found.lines] == pytest.approx([x / (1 + x) for x in slopes])
    assert [weight for _, weight in found.lines] == [0.45, 0.45]
    assert found.rho == pytest.approx(best_rho(math.exp(-2), v / 10))
    wider = Tuning.to_decide(0.1, 1.0, math.exp(-2), 2.0)  # the same V is 4 times less in c = 2
    assert wider.rho == pytest.approx(best_rho(math.exp(-2), v / 40))


@pytest.mark.parametrize("misjudged", [0.7, 1.0, 1.5])
def test_tuning_saves_rows(misjudged: float) -> None:
    """At most twice the fixed-n formula shows the effect, also with a variance misjudged."""
    effect, alpha, c = 0.005, 0.03, 2.0
    variance, n = 0.14, np.geomspace(1e4, 1e6, 2_000)
    tuning = Tuning.to_decide(effect, variance * misjudged, alpha, c)
    half = c * boundary(n * variance / c**2, alpha, tuning.rho, tuning.lines)
    shown = n * effect >= half + POWER_AT * np.sqrt(n * variance)
    assert n[shown.argmax()] <= 2.0 * 7.85 * variance / effect**2
