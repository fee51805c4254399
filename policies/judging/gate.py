"""The gate: from day sums to a verdict, with an error rate that holds under daily looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from policies.errors import EvaluationError
from policies.judging.assessment import MIN_EFFECTIVE_N
from policies.judging.rules import RuleInput, read_rules, reasons, verdict_of
from policies.sequences.confidence_sequence import rows_to_decide, sequence_interval, tuned_days
from policies.sequences.days import NO_DAYS, DaySums


def lifetime_alpha(alpha: float, tried: int) -> float:
    """The share of a lifetime error budget for the `tried`-th lineage ever tried (first = 1).

    alpha·6 / (π²·tried²), which sums to alpha over all lineages there may ever be.

    Raises:
        EvaluationError: tried < 1.
    """
    if tried < 1:
        raise EvaluationError(f"lineages are counted from 1, not {tried}")
    return alpha * 6 / (math.pi * tried) ** 2


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict on one step of one candidate.

    Attributes:
        verdict: "promote", "hold" or "reject".
        step: "staging" or "champion".
        difference, low, high: per logged row; low and high each hold with 1 − alpha at every look.
        alpha: error probability of each side.
        n, n_choice, effective_n: rows behind it.
        rules: name -> {"holds", "reading", "limit", "code"} of each of `RULES`.
        minimum_effect: the gate's.
        rows_needed: logged rows in all with which the gate has 80 % power to find the minimum
            effect; None without one, or without a variance forecast.
        days_needed: more days until then, at the rate so far; None without dates.
    """

    verdict: str
    step: str
    difference: float
    low: float
    high: float
    alpha: float
    n: int
    n_choice: int
    effective_n: float
    rules: dict[str, dict[str, Any]]
    minimum_effect: float | None = None
    rows_needed: int | None = None
    days_needed: int | None = None

    @property
    def sentence(self) -> str:
        """The verdict in words, with what a hold lacks."""
        text = (
            f"{self.verdict}: candidate − incumbent = {self.difference:+.4f} per decision,"
            f" confidence sequence [{self.low:+.4f}, {self.high:+.4f}]"
            f" ({100 * (1 - self.alpha):.3g} % each side, valid at every look),"
            f" {self.n_choice:,} decisions with a choice."
        )
        if self.verdict != "hold":
            return text
        return f"{text} Held for {self.step}: {reasons(self.rules)}.{self._outlook()}"

    def _outlook(self) -> str:
        """How much data a decision takes, as a further sentence."""
        if self.minimum_effect is not None and not self.n:
            return " The first day only sets the tuning; judging starts with the next day."
        if self.rows_needed is None:
            return ""
        effect, more = f"difference of {self.minimum_effect:g}", self.rows_needed - self.n
        if more <= 0:
            return f" With this much data a true {effect} would have been detected with 80 % power."
        days = "" if self.days_needed is None else f" ({self.days_needed:,} days at this rate)"
        return f" About {more:,} more decisions{days} give 80 % power for a {effect}."

    def to_dict(self) -> dict[str, Any]:
        """A dict of numbers and strings, the rules nested."""
        return {**asdict(self), "sentence": self.sentence}


@dataclass(frozen=True)
class Gate:
    """Staging asks "not worse than the margin", champion asks "better".

    Attributes:
        alpha: lifetime error probability of a wrong promotion; a wrong rejection has its own.
        margin: how much worse a candidate may be and still go to staging, per logged row.
        minimum_effect: smallest difference that matters, per logged row: what the sequence is
            tuned to (`Tuning`), so that it is found after the fewest rows. Then only `tuned_days`
            are judged: without earlier rewards the first day only sets the tuning.
        min_effective_n: effective number of choice rows below which nothing is promoted.
        min_days: days of evidence below which nothing is promoted.

    Raises:
        EvaluationError: alpha outside (0, .5], a negative margin, or a minimum effect of 0 or less.
    """

    alpha: float = 0.05
    margin: float = 0.0
    minimum_effect: float | None = None
    min_effective_n: float = MIN_EFFECTIVE_N
    min_days: int = 1

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if not 0 < self.alpha <= 0.5:
            raise EvaluationError(f"alpha must lie in (0, 0.5], and is {self.alpha}")
        if not self.margin >= 0:
            raise EvaluationError(f"margin must not be negative, and is {self.margin}")
        if self.minimum_effect is not None and not self.minimum_effect > 0:
            raise EvaluationError(f"minimum_effect must be positive, and is {self.minimum_effect}")

    def judge(
        self,
        days: Sequence[DaySums],
        step: str = "staging",
        *,
        tried: int = 1,
        problems: Sequence[str] = (),
    ) -> Verdict:
        """The verdict after these days, by `policies.judging.rules`.

        promote: low > −margin (staging) or low > 0 (champion), and every other rule holds.
        reject: high < −margin (staging) or high < 0 (champion). Otherwise hold.

        Args:
            days: all days of one sequence, as `day_sums` made them.
            step: "staging" or "champion".
            tried: how many lineages have been tried, this one included.
            problems: why the log cannot be trusted, as `assess` says; any of them holds everything.

        Raises:
            EvaluationError: an unknown step, or bounds that changed within the sequence.
        """
        if step not in ("staging", "champion"):
            raise EvaluationError(f"no step is called {step!r}", hint="one of staging, champion")
        alpha, effect = lifetime_alpha(self.alpha, tried), self.minimum_effect
        limit = -self.margin if step == "staging" else 0.0
        low, high, difference = -math.inf, math.inf, 0.0
        days = days if effect is None else tuned_days(days)
        if days:
            low, high, difference = sequence_interval(days, alpha, alpha, minimum_effect=effect)
        whole = sum(days, NO_DAYS)
        rows_needed, days_needed = self._needed(days, whole, alpha, limit)
        judged = RuleInput(
            low,
            high,
            limit,
            tuple(problems),
            whole.range,
            days=len(days),
            min_days=self.min_days,
            effective_n=whole.effective_n,
            min_effective_n=self.min_effective_n,
        )
        readings = read_rules(judged)
        return Verdict(
            verdict=verdict_of(readings),
            step=step,
            difference=difference,
            low=low,
            high=high,
            alpha=alpha,
            n=whole.n,
            n_choice=whole.n_choice,
            effective_n=whole.effective_n,
            rules={name: asdict(reading) for name, reading in readings.items()},
            minimum_effect=effect,
            rows_needed=rows_needed,
            days_needed=days_needed,
        )

    def _needed(
        self, days: Sequence[DaySums], whole: DaySums, alpha: float, limit: float
    ) -> tuple[int | None, int | None]:
        """`rows_needed` and `days_needed` of the verdict."""
        if self.minimum_effect is None:
            return None, None
        rows = rows_to_decide(days, alpha, self.minimum_effect - limit, self.minimum_effect)
        if rows is None or whole.decision_date is None:
            return rows, None
        return rows, math.ceil(max(rows - whole.n, 0) * len(days) / whole.n)
