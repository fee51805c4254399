"""The gate: evidence to verdict, one rule at a time, with an error rate that daily looks keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from policies.errors import EvaluationError
from policies.judging.assessment import MIN_EFFECTIVE_N
from policies.sequences.confidence_sequence import rows_to_decide, sequence_interval, tuned_days
from policies.sequences.days import DaySums

STEPS = ("staging", "champion")


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
    """What the gate says about one step of one candidate.

    Attributes:
        verdict: "promote", "hold" or "reject".
        step: "staging" or "champion".
        difference, low, high: per logged row; low and high each hold with 1 − alpha at every look.
        alpha: error probability of each side.
        n, n_choice, effective_n: rows behind it.
        rows_needed: logged rows in all after which the gate has found the minimum effect with 80 %
            power; None where there is none to find, or nothing to foresee it from.
        rules: name -> {"holds", "reading", "limit"}; a promotion needs all but "worse", a rejection
            "log", "range" and "worse".
        sentence: the verdict in words.
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
    sentence: str
    rows_needed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """A dict of numbers and strings, the rules nested."""
        return asdict(self)


@dataclass(frozen=True)
class Gate:
    """Staging asks "not worse than the margin", champion asks "better".

    Attributes:
        alpha: lifetime error probability of a wrong promotion; a wrong rejection has its own.
        margin: how much worse a candidate may be and still go to staging, per logged row.
        minimum_effect: smallest difference that matters, per logged row: what the sequence is
            tuned to (`Tuning`), so that it is found after the fewest rows. Then only `tuned_days`
            are judged: where no earlier rewards are known, the first day tunes and does not count.
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
        """Refuse settings that mean nothing."""
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
        """The verdict after these days.

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
        if step not in STEPS:
            raise EvaluationError(f"no step is called {step!r}", hint=f"one of {', '.join(STEPS)}")
        alpha = lifetime_alpha(self.alpha, tried)
        if self.minimum_effect is not None:
            days = tuned_days(days)
        n, n_choice = sum(each.n for each in days), sum(each.n_choice for each in days)
        low, high, difference = -math.inf, math.inf, 0.0
        if n:
            low, high, difference = sequence_interval(
                days, alpha, alpha, minimum_effect=self.minimum_effect
            )
        limit = -self.margin if step == "staging" else 0.0
        effective_n = _effective_n(days)
        rules = {
            "log": _rule(not problems, "; ".join(problems) or "sound", "sound"),
            "range": _rule(
                all(each.range == "declared" for each in days),
                "learned" if any(each.range != "declared" for each in days) else "declared",
                "declared",
            ),
            "days": _rule(len(days) >= self.min_days, len(days), self.min_days),
            "effective_n": _rule(
                effective_n >= self.min_effective_n, effective_n, self.min_effective_n
            ),
            "better": _rule(low > limit, low, limit),
            "worse": _rule(high < limit, high, limit),
        }
        if all(rules[name]["holds"] for name in ("log", "range", "worse")):
            verdict = "reject"
        else:
            asked = ("log", "range", "days", "effective_n", "better")
            verdict = "promote" if all(rules[name]["holds"] for name in asked) else "hold"
        needed = self._rows_needed(days, alpha, limit)
        sentence = f"{verdict}: {_reading(difference, low, high, alpha, n_choice)}"
        if verdict == "hold":
            sentence += _why(rules, step) + self._collect(days, needed)
        return Verdict(
            *(verdict, step, difference, low, high, alpha, n, n_choice, effective_n, rules),
            *(sentence, needed),
        )

    def _rows_needed(self, days: Sequence[DaySums], alpha: float, limit: float) -> int | None:
        """Rows in all until a candidate better by the minimum effect is promoted in 80 % of cases."""
        if self.minimum_effect is None:
            return None
        return rows_to_decide(days, alpha, self.minimum_effect - limit, self.minimum_effect)

    def _collect(self, days: Sequence[DaySums], needed: int | None) -> str:
        """What a held verdict asks for, in rows and days at the pace so far."""
        if self.minimum_effect is None:
            return ""
        if not days:
            return " Nothing is known yet to tune it with; days are judged from the next one on."
        if needed is None:
            return ""
        n, effect = sum(each.n for each in days), f"a difference of {self.minimum_effect:g}"
        if needed <= n:
            return f" In four of five cases {effect} would have been found by now."
        text = f" Collect about {needed - n:,} more decisions"
        if days[0].decision_date is not None:
            text += f", {math.ceil((needed - n) * len(days) / n):,} more days at this pace"
        return f"{text}: then {effect} is found in four of five cases."


def _effective_n(days: Sequence[DaySums]) -> float:
    square = sum(each.weight_square for each in days)
    return sum(each.weight for each in days) ** 2 / square if square else 0.0


def _rule(holds: bool, reading: Any, limit: Any) -> dict[str, Any]:
    return {"holds": bool(holds), "reading": reading, "limit": limit}


def _reading(difference: float, low: float, high: float, alpha: float, n_choice: int) -> str:
    return (
        f"the candidate's difference to the incumbent is {difference:+.4f} per decision, at least"
        f" {low:+.4f} and at most {high:+.4f} (each at {1 - alpha:.1%}, whenever one looks),"
        f" from {n_choice:,} decisions with a choice."
    )


def _why(rules: dict[str, dict[str, Any]], step: str) -> str:
    """What a promotion lacks."""
    lacks = {
        "log": f"the log cannot be trusted: {rules['log']['reading']}",
        "range": "the reward range or the logging probabilities were not declared",
        "days": "there are too few days",
        "effective_n": "too few decisions tell the two apart",
        "better": f"{step} needs a lower bound above {rules['better']['limit']:+.4f}",
    }
    reasons = [text for name, text in lacks.items() if not rules[name]["holds"]]
    return f" Held, as {'; '.join(reasons)}."
