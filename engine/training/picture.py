"""A picture of a selection: each recipe's value with its lower bound, beside the incumbent's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from policies.pictures import INK, TRUTH, canvas

CHOSEN, OTHER, INCUMBENT = INK, "#9aa7b8", TRUTH


def selection_picture(table: pd.DataFrame, incumbent: str) -> Figure:
    """Values on days that no recipe had learned from, best first; bars end at the lower bound.

    Args:
        table: of `policies.Selection`.
        incumbent: the name of the policy that they are compared with.
    """
    rows = table.sort_values("low")
    figure, axes = canvas(1, 1, (8.0, 1.2 + 0.34 * len(rows)))
    y = np.arange(len(rows))
    colours = [CHOSEN if chosen else OTHER for chosen in rows["chosen"]]
    axes.hlines(y, rows["low"], rows["value"], color=colours, lw=3)
    axes.scatter(rows["value"], y, color=colours, zorder=3, s=28)
    value = float(rows["incumbent_value"].iloc[0])
    axes.axvline(value, color=INCUMBENT, lw=1.2, ls="--")
    axes.annotate(
        incumbent, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(3, 4),
        textcoords="offset points", color=INCUMBENT, fontsize=8,
    )  # fmt: skip
    axes.set_yticks(y, rows.index, fontsize=8)
    for label, chosen in zip(axes.get_yticklabels(), rows["chosen"]):
        label.set_fontweight("bold" if chosen else "normal")
    axes.set_xlabel("reward per decision on later days, and its lower bound (chosen: bold)")
    return figure
