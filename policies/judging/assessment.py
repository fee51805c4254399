"""What a log can say about a target: decide, collect how many more rows, or broken."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError
from policies.estimating.arguments import number
from policies.estimating.rows import EvaluationRows, evaluation_rows
from policies.estimating.sums import effective_size
from policies.judging.log_checks import (
    NOT_DRAWN,
    action_checks,
    contradictions,
    silent_days,
    weights_off,
)
from policies.log import Floats, LoggedDecisions

MIN_EFFECTIVE_N = 100.0
MAX_TOP_SHARE = 0.5  # of the weight in the 1 % heaviest rows: beyond it a handful of rows decides
FEW_REWARDS = 30  # on rows with weight: fewer tell little of how much their rewards vary
POWER = 7.85  # (1.96 + 0.84)²: 80 % power at two-sided 5 %, one look
EXPLORE = (0.05, 0.1, 0.2, 0.5)  # shares of decisions drawn uniformly, for the what-if
WHAT_IF = 0.2  # the one that a sentence names, when it saves a tenth of the further rows
WORTH_SAYING = 0.9
ESTIMATED = "the action probabilities are estimated, and so is all that rests on them"


@dataclass(frozen=True)
class Assessment:
    """Whether a log can judge a target.

    Attributes:
        verdict: "decide"; "collect" when more rows, or more exploration, are needed; "broken" when
            the log contradicts itself and no estimate from it can be trusted.
        reasons: one sentence each.
        effective_n: Kish's effective number of choice rows.
        rows_needed: choice rows that show minimum_effect with 80 % power; None when not asked.
        n_choice: choice rows there are.
        max_weight, mean_weight: of the importance weights of choice rows; the mean should be 1.
        top_share: share of all weight in the 1 % of choice rows that have most.
        days_needed: more days until rows_needed, at this log's pace; None without dates.
        exploration: share of decisions drawn uniformly from now on -> further choice rows needed.
        actions: a row for each action, see `action_checks`.
    """

    verdict: str
    reasons: list[str]
    effective_n: float
    rows_needed: int | None = None
    n_choice: int = 0
    max_weight: float = math.nan
    mean_weight: float = math.nan
    top_share: float = math.nan
    days_needed: int | None = None
    exploration: dict[float, int] = field(default_factory=dict)
    actions: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """A dict of numbers, strings, lists and dicts."""
        actions = self.actions.reset_index().to_dict("records")
        return {**vars(self), "reasons": list(self.reasons), "actions": actions}

    def __str__(self) -> str:
        """The verdict and its reasons, a line each."""
        said = self.reasons or [f"the log says as much as {self.effective_n:,.0f} rows would"]
        return "\n".join([self.verdict, *(f"- {reason}" for reason in said)])


def assess(
    log: LoggedDecisions,
    target: Any,
    *,
    minimum_effect: float | None = None,
    min_effective_n: float = MIN_EFFECTIVE_N,
    incumbent: Any = None,
    expected_reward: Any = None,
    group_shares: Mapping[str, float] | None = None,
) -> Assessment:
    """Whether the log can answer what the target is worth, or is worth more than an incumbent.

    Broken: what `contradictions` finds, or weights of the target that do not average 1. Collect:
    too small an effective n, half of all weight in one row of a hundred, a target that acts where
    the logger never draws, or fewer choice rows than 7.85·σ²/minimum_effect², σ² being the variance
    of the contributions of choice rows (DR's with expected_reward, else IPS's; the paired
    difference's with an incumbent). That is the number for one look; a sequence needs about twice.

    Args:
        target: a policy or an (n, k) array.
        minimum_effect: smallest difference per choice row that matters, in reward units; None = a
            fifth of the size of the mean reward.
        min_effective_n: effective n below which nothing is decided.
        incumbent: a policy or an (n, k) array.
        expected_reward: (n, k) predictions, as from `cross_fit`.
        group_shares: declared share of each group, to test the log's groups against.
    """
    if minimum_effect is not None and not number("minimum_effect", minimum_effect) > 0:
        raise EvaluationError(f"minimum_effect must be positive, not {minimum_effect}")
    if minimum_effect is None and log.choice.any():
        usual = abs(float(log.reward[log.choice].mean())) / 5
        minimum_effect = float(f"{usual:.2g}") or None  # two digits are enough for a question
    ours = evaluation_rows(log, target, expected_reward)
    theirs = None if incumbent is None else evaluation_rows(log, incumbent, expected_reward)
    weight, actions = ours.weight[log.choice], action_checks(log)
    differing = weight if theirs is None else weight - theirs.weight[log.choice]
    size, top_share = np.abs(differing), math.nan
    if size.any():
        top = max(1, len(size) // 100)  # rows
        top_share = float(np.partition(size, len(size) - top)[-top:].sum() / size.sum())
    found = Assessment(
        verdict="decide",
        reasons=[],
        effective_n=effective_size(size),
        n_choice=len(weight),
        max_weight=float(weight.max(initial=0.0)),
        mean_weight=float(weight.mean()) if len(weight) else math.nan,
        top_share=top_share,
        actions=actions,
    )
    if minimum_effect is not None and len(weight) > 1:
        found = replace(found, **_plan(log, ours, theirs, differing, minimum_effect))
    broken = contradictions(log, actions, group_shares)
    if log.distribution is None and weights_off(weight):  # else the actions' own checks say it
        broken.append(f"the target's weights average {weight.mean():.3f} {NOT_DRAWN}")
    outside = ours.unsupported_share * len(log) / max(len(weight), 1)
    few = list(_too_few(found, min_effective_n, outside, minimum_effect))
    notes = [ESTIMATED] if log.probabilities == "estimated" else []
    if days := silent_days(log):
        shown = f"{', '.join(days[:3])}{' …' if len(days) > 3 else ''}"
        notes.append(
            f"no action has an outcome on {shown}: leave out days whose outcomes were lost"
        )
    verdict = "broken" if broken else "collect" if few else "decide"
    return replace(found, verdict=verdict, reasons=broken + few + notes)


def _plan(
    log: LoggedDecisions,
    ours: EvaluationRows,
    theirs: EvaluationRows | None,
    differing: Floats,
    minimum_effect: float,
) -> dict[str, Any]:
    """rows_needed, days_needed and exploration of an Assessment.

    If from now on a share u of decisions is drawn uniformly, a row's draw has probability
    (1 − u)·p + u/k over its k eligible actions, and the second moment of w·(r − q) becomes the mean
    of its square times p over that, which this log estimates. Rows so far keep what they say.
    """
    choice = log.choice
    away = (ours.reward if ours.residual is None else ours.residual)[choice]
    drawn = differing * away
    direct = 0.0 if ours.direct is None else ours.direct[choice]
    if theirs is not None and theirs.direct is not None:
        direct = direct - theirs.direct[choice]
    n, square = len(drawn), drawn * drawn
    variance, reward = float((direct + drawn).var(ddof=1)), log.reward[choice]
    told = np.count_nonzero((differing != 0) & (reward != np.median(reward)))
    if told < FEW_REWARDS:  # a rare reward may not have come yet: all rows say how much it varies
        variance = max(variance, float((differing * differing).mean() * away.var()))
    wanted = POWER / minimum_effect**2  # inverse variance of the mean that shows the effect
    left = wanted - n / variance if variance else 0.0
    share = log.action_probability[choice] * log.eligible[choice].sum(axis=1)  # p over uniform

    def further_rows(u: float) -> int:
        shrunk = float((square * (1 - 1 / ((1 - u) + u / share))).mean())
        return max(0, math.ceil((variance - shrunk) * left))

    days_needed = None
    if log.decision_date is not None:
        days_needed = math.ceil(further_rows(0.0) / (n / len(np.unique(log.decision_date))))
    return {
        "rows_needed": math.ceil(variance * wanted),
        "days_needed": days_needed,
        "exploration": {u: further_rows(u) for u in EXPLORE},
    }


def _too_few(
    found: Assessment, min_effective_n: float, outside: float, minimum_effect: float | None
) -> Iterator[str]:
    """Sentences on what must still be collected."""
    if found.effective_n < min_effective_n:
        yield (
            f"effective sample size is {found.effective_n:.0f} (of {found.n_choice:,} rows with a"
            f" choice); at least {min_effective_n:.0f} needed"
        )
    if found.top_share > MAX_TOP_SHARE:
        yield f"{found.top_share:.0%} of all weight lies in 1 % of the choice rows: they alone decide"
    if outside > 0:
        yield (
            f"in {outside:.1%} of choices the target takes an action that the logger never draws"
            " there: more rows will not help; the logger must explore these actions"
        )
    needed, n = found.rows_needed, found.n_choice
    if needed is not None and needed > n:
        text = f"an effect of {minimum_effect:g} needs about {needed:,} choice rows"
        text += f"; there are {n:,}"
        if found.days_needed is not None:
            text += f", so {found.days_needed:,} more days at this pace"
        more, explored = needed - n, found.exploration[WHAT_IF]
        if explored < WORTH_SAYING * more:
            text += (
                f"; with {WHAT_IF:.0%} of decisions drawn uniformly {explored / more:.0%} of the"
                " further rows would do"
            )
        yield text
