"""A scenario's closed loop as a picture and a table, for `nba simulate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from policies.pictures import BAND, COLOURS, GREY, INK, TRUTH, VERDICTS, canvas, dated
from simulation import SCENARIOS, scenario
from simulation.loop_result import LoopResult, run_loop

SPANS = 12  # rows of the printed table
SMOOTH = 7  # days of the running mean in the picture, so that weekdays do not show


def run_scenario(
    name: str,
    days: int,
    customers: int,
    seed: int,
    reward: str,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[LoopResult, Path]:
    """Run the closed loop in a scenario, and leave a picture and the days as CSV in the folder.

    Returns:
        The run, and the path of the picture.
    """
    world = scenario(name, customers, seed, reward=reward)
    say(SCENARIOS[name])
    result = run_loop(world, days, say=say)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{customers}-{seed}.png"
    picture(result, f"{name}, {customers:,} customers", world.action_ids).savefig(path, dpi=130)
    result.table.to_csv(path.with_suffix(".csv"), index=False)
    return result, path


def picture(result: LoopResult, title: str, action_ids: tuple[str, ...]) -> Figure:
    """True values over time with promotions and alarms, and the champion's share by action."""
    figure, (top, bottom) = canvas(2, 1, (9.0, 6.4))
    at = result.table["date"]
    smooth = result.table[["rules", "learned", "best"]].rolling(SMOOTH, min_periods=1).mean()
    top.plot(at, smooth["best"], color=TRUTH, ls=":", lw=2, label="best possible")
    top.plot(at, smooth["learned"], color=INK, lw=2, label="champion")
    top.plot(at, smooth["rules"], color=GREY, lw=2, label="business rules")
    top.fill_between(at, smooth["rules"], smooth["learned"], color=BAND, alpha=0.4, lw=0)
    marks = [(row.date, VERDICTS["promote"], "promotion") for row in result.promotions]
    marks += [(date, VERDICTS["reject"], "loss noticed") for date, _ in result.alarms]
    for number, (date, colour, label) in enumerate(marks):
        first = [text for _, _, text in marks].index(label) == number
        top.axvline(date, color=colour, lw=1.2, ls="--", label=label if first else None)
    top.set_title(f"{title}: true reward per decision, mean of {SMOOTH} days", fontsize=10)
    bottom.stackplot(at, result.actions.T, labels=action_ids, colors=COLOURS, alpha=0.85, lw=0)
    bottom.set_ylim(0, 1)
    bottom.set_title("share of decisions by action, as the champion acts", fontsize=10)
    for axes in (top, bottom):
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes.margins(x=0)
        dated(axes)
    return figure


def spans(result: LoopResult) -> pd.DataFrame:
    """The days in a dozen spans: mean true values, the champion at the end, and the events."""
    table, rows = result.table, []
    for part in np.array_split(np.arange(len(table)), min(SPANS, len(table))):
        some = table.iloc[part]
        values = some[["rules", "learned", "best"]].mean()
        gap = values["best"] - values["rules"]
        notes = [f"{date:%d %b}: {note}" for date, note in zip(some["date"], some["note"]) if note]
        rows.append(
            {
                "from": f"{some['date'].iloc[0]:%Y-%m-%d}",
                "champion": some["champion"].iloc[-1],
                **values.to_dict(),
                "of the gap": (values["learned"] - values["rules"]) / gap if gap > 0 else np.nan,
                "what happened": "; ".join(notes),
            }
        )
    return pd.DataFrame(rows)
