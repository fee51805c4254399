"""The day's report: one self-contained HTML file for the people who decide on it."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes

from engine.refs import PolicyRef
from engine.settings import EngineConfig
from policies.judging.rules import RULES
from policies.pictures import BAND, GREY, INK, TRUTH, canvas, dated
from policies.sequences.confidence_sequence import sequence_interval, tuned_days
from policies.sequences.days import DaySums


@dataclass(frozen=True)
class Page:
    """The content of the page; frames are rows of the tables of these names.

    Args:
        place: `catalog.schema`.
        as_of: the day.
        source: name of the source.
        champion: the policy that decided on the day.
        settings: gate, groups and floor.
        verdicts: of the day, one or none.
        values: `policy_values` of the day, with a column `truth` (NaN if unknown).
        evidence: the frozen days, oldest first.
        decisions: action_id, group, count of the day.
        drift: of the day.
        moves: all promotions up to the day.
    """

    place: str
    as_of: dt.date
    source: str
    champion: str
    settings: EngineConfig
    verdicts: pd.DataFrame
    values: pd.DataFrame
    evidence: pd.DataFrame
    decisions: pd.DataFrame
    drift: pd.DataFrame
    moves: pd.DataFrame


def render(page: Page) -> str:
    """The page as HTML, pictures included."""
    environment = Environment(
        loader=PackageLoader("engine.monitoring", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    verdict = page.verdicts.iloc[0].to_dict() if len(page.verdicts) else None
    counts = page.decisions.pivot_table(
        index="action_id", columns="group", values="count", aggfunc="sum", fill_value=0
    )
    counts["all"] = counts.sum(axis=1)
    features = page.drift[page.drift["metric"] == "psi"]
    return environment.get_template("report.html.j2").render(
        page=page,
        verdict=verdict,
        rules=json.loads(verdict["rules"]) if verdict else {},
        requires={name: rule.__doc__ for name, rule in RULES.items()},
        windows=_estimates(page.values),
        knows_truth=page.values["truth"].notna().any(),
        looks=_picture(_draw_looks, page, (7.6, 3.0)) if len(page.evidence) else None,
        forest=_picture(_draw_forest, page, (7.6, 3.4)) if len(page.values) else None,
        days=len(page.evidence),
        counts=counts.sort_values("all", ascending=False).reset_index().to_dict("records"),
        groups=list(counts.columns),
        health=page.drift[page.drift["metric"] != "psi"].to_dict("records"),
        drift=features.sort_values("value", ascending=False).to_dict("records"),
        moves=page.moves.tail(8).iloc[::-1].to_dict("records"),
    )


def _estimates(values: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """window -> one entry a policy, best DR first, with its estimators inside."""
    windows: dict[str, list[dict[str, Any]]] = {}
    for window in ("unseen", "all"):
        entries = [
            {"policy": policy, "of": rows.set_index("estimator").to_dict("index"), **rows.iloc[0]}
            for policy, rows in values[values["window"] == window].groupby("policy")
        ]
        if entries:
            windows[window] = sorted(entries, key=lambda entry: -entry["of"]["dr"]["value"])
    return windows


def _picture(draw: Any, page: Page, size: tuple[float, float]) -> str:
    figure, axes = canvas(1, 1, size)
    draw(axes, page)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return base64.b64encode(buffer.getvalue()).decode()


def _draw_looks(axes: Axes, page: Page) -> None:
    """The paired difference at every look so far, with its confidence sequence."""
    gate = page.settings.gate
    all_days = [DaySums.from_dict(row) for row in page.evidence.to_dict("records")]
    alpha = float(page.verdicts.iloc[0]["alpha"]) if len(page.verdicts) else gate.alpha
    tuned = tuned_days(all_days)
    effect, days = (gate.minimum_effect, tuned) if tuned else (None, all_days)
    looks = [
        sequence_interval(days[:look], alpha, alpha, minimum_effect=effect)
        for look in range(1, len(days) + 1)
    ]
    low, high, middle = (list(column) for column in zip(*looks))
    dates: Any = [day.decision_date for day in days]
    axes.fill_between(dates, low, high, color=BAND, alpha=0.6, lw=0, label="valid at every look")
    axes.plot(dates, middle, "o-", color=INK, ms=4, label="candidate − incumbent so far")
    axes.axhline(0, color=GREY, lw=1)
    label = f"staging margin −{gate.margin:g}"
    axes.axhline(-gate.margin, color=GREY, lw=1, ls="--", label=label)
    reach = 4 * max(abs(middle[-1]), high[-1] - middle[-1], middle[-1] - low[-1])
    axes.set_ylim(max(min(low), -reach), min(max(high), reach))
    axes.set_ylabel("reward per decision")
    axes.set_xlabel("decision day, once matured")
    dated(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def _draw_forest(axes: Axes, page: Page) -> None:
    """DR with its 95 % interval for each policy, and the truth where it is known."""
    window = "unseen" if (page.values["window"] == "unseen").any() else "all"
    rows = page.values[(page.values["window"] == window) & (page.values["estimator"] == "dr")]
    rows = rows.sort_values("value")
    y = range(len(rows))
    reach = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    axes.errorbar(
        rows["value"], y, xerr=reach, fmt="o", color=INK, ms=5, capsize=3, label="DR, 95 %"
    )
    if rows["truth"].notna().any():
        axes.plot(rows["truth"], y, "x", color=TRUTH, ms=8, mew=2, label="truth (simulator)")
    axes.set_yticks(list(y), [short(name) for name in rows["policy"]], fontsize=8)
    axes.set_xlabel("reward per decision, before exploration")
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def short(policy: str) -> str:
    """`fixed:email` for `baseline:fixed:email`, `model:3` for `catalog.schema.model:3`."""
    ref = PolicyRef.parse(policy)
    return ref.name if ref.is_baseline else policy.rsplit(".", maxsplit=1)[-1]
