"""Decision ids: one format, from customer and date alone."""

from __future__ import annotations

import numpy as np

from policies.deciding.decision_ids import decision_ids

CUSTOMERS = np.array(["a", "a"], dtype=object)


def test_ids_follow_from_customer_and_date() -> None:
    """The same customer and date give the same id, another date gives another id."""
    dates = np.array(["2026-03-02", "2026-03-03"], dtype="datetime64[D]")
    ids = decision_ids(CUSTOMERS, dates).to_pylist()
    assert ids == ["a:2026-03-02:0", "a:2026-03-03:0"]
    hours = dates.astype("datetime64[h]") + np.timedelta64(9, "h")
    assert decision_ids(CUSTOMERS, hours).to_pylist() == ids


def test_one_date_holds_for_all_customers() -> None:
    """A single date gives every customer an id of that day."""
    assert decision_ids(CUSTOMERS, "2026-03-02").to_pylist() == ["a:2026-03-02:0"] * 2
    assert decision_ids(CUSTOMERS[:0], "2026-03-02").to_pylist() == []
