"""Pictures of off-policy evaluation: estimates beside the truth, overlap, and values over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from policies import Comparison, LoggedDecisions
from policies.estimating.rows import as_target
from policies.estimating.sums import effective_size

INK, BAND, TRUTH, GREY = "#1f3a5f", "#9db8d6", "#c0392b", "#8a8f98"
COLOURS = ("#1f3a5f", "#e08a1e", "#2e8b57", "#8a5fb0", "#4aa3c7", "#b0553a", "#777777")
VERDICTS = {"promote": "#2e8b57", "hold": "#8a8f98", "reject": "#c0392b"}


def estimates(values: pd.DataFrame) -> Figure:
    """Each policy's value by several estimators, with intervals, and the truth where it is known.

    Args:
        values: policy, estimator, value, low, high; truth (NaN where nobody knows it) if there.
    """
    names = list(dict.fromkeys(values["policy"]))[::-1]
    methods = list(dict.fromkeys(values["estimator"]))
    figure, axes = canvas(1, 1, (8.0, 0.8 + 0.5 * len(names) + 0.08 * len(names) * len(methods)))
    places = np.arange(len(names))
    for number, method in enumerate(methods):
        rows = values[values["estimator"] == method].set_index("policy").loc[names]
        y = places + 0.32 - 0.64 * (number + 0.5) / len(methods)
        reach = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(rows["value"], y, xerr=reach, fmt="o", ms=4, capsize=2, color=colour,
                      label=method)  # fmt: skip
    if "truth" in values and values["truth"].notna().any():
        truth = values.drop_duplicates("policy").set_index("policy")["truth"].loc[names]
        axes.vlines(truth, places - 0.36, places + 0.36, color=TRUTH, lw=2, label="truth")
    for place in places[1:]:
        axes.axhline(place - 0.5, color=GREY, lw=0.4, alpha=0.5)
    axes.set_yticks(places, names)
    axes.set_ylim(-0.5, len(names) - 0.5)
    axes.set_xlabel("reward per decision, 95 % intervals")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def overlap(log: LoggedDecisions, target: Any, name: str = "target") -> Figure:
    """How often logger and target take each action, and how unequal the rows' weights are."""
    taken = as_target(log, target)[log.choice]
    rows = np.flatnonzero(log.choice)
    weight = taken[np.arange(len(rows)), log.action[rows]] / log.action_probability[rows]
    figure, (left, right) = canvas(1, 2, (9.0, 0.9 + 0.35 * max(log.n_actions, 6)))
    y, logged = np.arange(log.n_actions), np.bincount(log.action[rows], minlength=log.n_actions)
    left.barh(y + 0.2, logged / len(rows), 0.38, color=GREY, label="logged")
    left.barh(y - 0.2, taken.mean(axis=0), 0.38, color=INK, label=name)
    left.set_yticks(y, log.action_ids)
    left.invert_yaxis()
    left.set_xlabel("share of decisions with a choice")
    left.legend(frameon=False, fontsize=8)
    known = np.sort(weight[weight > 0])[::-1]
    share = np.cumsum(known) / known.sum() if len(known) else np.zeros(0)
    right.plot(np.arange(1, len(known) + 1) / len(rows), share, color=INK)
    right.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="equal weights")
    right.set_xlabel("share of rows, heaviest first")
    right.set_ylabel("share of all weight")
    size, heaviest = effective_size(weight), weight.max(initial=0)
    title = f"{len(rows):,} rows say as much as {size:,.0f}; heaviest weight {heaviest:.1f}"
    right.set_title(title, fontsize=9)
    right.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def over_time(
    by_day: Mapping[str, pd.DataFrame], truth: Optional[Mapping[str, Sequence[float]]] = None
) -> Figure:
    """What each policy would have earned, day by day, in bands that hold for all days together.

    Args:
        by_day: name -> `policies.evaluate_by(log, policy, "decision_date")` of one estimator.
        truth: name -> the true value of each of those days.
    """
    figure, axes = canvas(1, 1, (8.6, 3.6))
    for number, (name, frame) in enumerate(by_day.items()):
        days = pd.to_datetime(frame.index.get_level_values("segment"))
        colour = COLOURS[number % len(COLOURS)]
        axes.fill_between(days, frame["low"], frame["high"], color=colour, alpha=0.15, lw=0)
        axes.plot(days, frame["value"], "o-", color=colour, ms=3, lw=1.2, label=name)
        if truth and name in truth:
            axes.plot(days, truth[name], color=colour, lw=2, ls=":", label=f"{name}, truth")
    axes.set_ylabel("reward per decision")
    axes.set_xlabel("decision day")
    dated(axes)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def differences(found: Mapping[str, Comparison]) -> Figure:
    """Paired differences with their intervals, coloured by the verdict they support."""
    figure, axes = canvas(1, 1, (8.0, 0.9 + 0.45 * len(found)))
    for y, pair in enumerate(list(found.values())[::-1]):
        value, verdict, colour = pair.difference, pair.verdict, VERDICTS[pair.verdict]
        reach = [[value - pair.low], [pair.high - value]]
        axes.errorbar(value, y, xerr=reach, fmt="o", ms=6, capsize=3, color=colour)
        axes.annotate(verdict, (pair.high, y), xytext=(6, -3), textcoords="offset points",
                      fontsize=9, color=colour)  # fmt: skip
        if pair.margin:
            axes.plot([-pair.margin] * 2, [y - 0.3, y + 0.3], color=GREY, lw=1, ls="--")
    axes.axvline(0, color=GREY, lw=1)
    axes.set_yticks(range(len(found)), list(found)[::-1])
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.margins(x=0.15)
    axes.set_xlabel("difference in reward per decision")
    return figure


def canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure of this size in inches, and its axes without frames."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns)
    for part in np.atleast_1d(axes):
        part.spines[["top", "right"]].set_visible(False)
    return figure, axes


def dated(axes: Axes) -> None:
    """Short dates on the x axis."""
    at = AutoDateLocator()
    axes.xaxis.set_major_locator(at)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(at))
