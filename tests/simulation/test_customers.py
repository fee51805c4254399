"""Customers: the table and its shares, whatever the size of the population."""

from __future__ import annotations

import numpy as np
import pandas as pd

from simulation.customers import CONSENT, ORGANIC, TRAITS, Population


def test_first_customers_are_the_same_in_any_population() -> None:
    """A smaller population is the beginning of a larger one, latent parts included."""
    small, large = Population.of(3, 40), Population.of(3, 400)
    pd.testing.assert_frame_equal(small.frame(), large.frame().iloc[:40])
    np.testing.assert_array_equal(small.organic, large.organic[:40])
    np.testing.assert_array_equal(small.tastes(["a", "b"]), large.tastes(["a", "b"])[:40])


def test_seeds_differ() -> None:
    """Another seed gives different customers with the same ids."""
    one, two = (Population.of(seed, 200).frame() for seed in (0, 1))
    assert (one["customer_id"] == two["customer_id"]).all()
    assert (one["signup_date"] != two["signup_date"]).mean() > 0.9


def test_table_shows_what_is_declared_and_nothing_latent() -> None:
    """Columns, values and shares are those of TRAITS and CONSENT."""
    table = Population.of(0, 20_000).frame()
    expected = [
        "customer_id",
        "signup_date",
        *TRAITS,
        *(f"consent_{channel}" for channel in CONSENT),
    ]
    assert list(table.columns) == expected
    for name, shares in TRAITS.items():
        seen = table[name].value_counts(normalize=True)
        assert set(seen.index) == set(shares)
        assert all(abs(seen[value] - share) < 0.015 for value, share in shares.items())
    for channel, share in CONSENT.items():
        assert abs(table[f"consent_{channel}"].mean() - share) < 0.015
    assert table["signup_date"].max() <= pd.Timestamp("2025-12-31")


def test_plan_reveals_organic_level_only_in_part() -> None:
    """Organic visits stay in their range, rise with the plan, and vary widely within one."""
    people = Population.of(0, 20_000)
    assert people.organic.min() >= ORGANIC[0]
    assert people.organic.max() <= ORGANIC[1]
    by_plan = [people.organic[people.traits["plan"] == code] for code in range(3)]
    assert by_plan[0].mean() + 0.01 < by_plan[1].mean() < by_plan[2].mean() - 0.01
    assert all(organic.std() > 0.01 for organic in by_plan)


def test_tastes_are_independent_of_traits_with_mean_one() -> None:
    """Tastes average 1 within every segment, so segments' uplifts are conditional means."""
    people = Population.of(0, 20_000)
    tastes = people.tastes(["email_news", "app_push"])
    assert abs(np.corrcoef(tastes.T)[0, 1]) < 0.03
    for codes in people.traits.values():
        for code in np.unique(codes):
            at = tastes[codes == code]
            assert (np.abs(at.mean(axis=0) - 1) < 4 * at.std(axis=0) / np.sqrt(len(at))).all()
