"""The id of a decision: customer, date and slot, in one format for every log and table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from policies.deciding.rules import Day, as_days


def decision_ids(customer_id: NDArray[np.object_], date: Day) -> pa.Array:
    """(n,) strings `customer:date:slot`; the slot is 0, since there is one decision a day.

    Args:
        customer_id: (n,) strings.
        date: a day or (n,) days.
    """
    days = pa.array(np.broadcast_to(as_days(date), len(customer_id))).cast(pa.string())
    return pc.binary_join_element_wise(pa.array(customer_id, pa.string()), days, "0", ":")
