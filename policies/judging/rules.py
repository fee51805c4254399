"""The rules of a verdict: each compares a reading with its limit, and has a code for its failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RuleInput:
    """What the rules read of a paired difference, candidate minus incumbent.

    Attributes:
        low, high: bounds of the difference per logged row.
        limit: what the difference must exceed: −margin for staging, 0 for champion.
        problems: why the log cannot be trusted.
        range: "declared" where reward range and logging probabilities were, else "learned".
        days, min_days: days of evidence, and how many a promotion needs.
        effective_n, min_effective_n: effective sample size of the difference, likewise.
    """

    low: float
    high: float
    limit: float
    problems: tuple[str, ...] = ()
    range: str = "declared"
    days: int = 0
    min_days: int = 0
    effective_n: float = 0.0
    min_effective_n: float = 0.0


@dataclass(frozen=True)
class Reading:
    """A rule's result.

    Attributes:
        holds: whether the rule holds.
        reading, limit: what was compared.
        code: why the rule fails where it does, a key of `TEXTS`.
    """

    holds: bool
    reading: Any
    limit: Any
    code: str


def log(judged: RuleInput) -> Reading:
    """Nothing contradicts the log."""
    reading = "; ".join(judged.problems) or "sound"
    return Reading(not judged.problems, reading, "sound", "log_broken")


def declared_range(judged: RuleInput) -> Reading:
    """Reward range and logging probabilities are declared, not learned from the log."""
    return Reading(judged.range == "declared", judged.range, "declared", "range_learned")


def days(judged: RuleInput) -> Reading:
    """There are at least so many days of evidence as the limit."""
    return Reading(judged.days >= judged.min_days, judged.days, judged.min_days, "days_few")


def effective_n(judged: RuleInput) -> Reading:
    """The effective sample size of the difference is at least the limit."""
    n, limit = judged.effective_n, judged.min_effective_n
    return Reading(n >= limit, n, limit, "effective_n_few" if n else "effective_n_none")


def better(judged: RuleInput) -> Reading:
    """The lower bound of the difference is above the limit."""
    return Reading(judged.low > judged.limit, judged.low, judged.limit, "low_not_above")


def worse(judged: RuleInput) -> Reading:
    """The upper bound of the difference is below the limit."""
    return Reading(judged.high < judged.limit, judged.high, judged.limit, "high_not_below")


RULES = {
    "log": log,
    "range": declared_range,
    "days": days,
    "effective_n": effective_n,
    "better": better,
    "worse": worse,
}
NEEDED = {  # by verdict, the rules that must hold; a rejection comes first
    "reject": ("log", "range", "worse"),
    "promote": ("log", "range", "days", "effective_n", "better"),
}
TEXTS = {
    "log_broken": "the log cannot be trusted: {reading}",
    "range_learned": "the reward range or the logging probabilities were not declared",
    "days_few": "{reading} days of evidence, at least {limit} needed",
    "effective_n_few": "effective sample size is {reading:,.0f}, at least {limit:,.0f} needed",
    "effective_n_none": "both would act the same on these decisions",
    "low_not_above": "the lower bound is not above {limit:+.4f}",
    "high_not_below": "the upper bound is not below {limit:+.4f}",
}


def read_rules(judged: RuleInput, names: Iterable[str] = tuple(RULES)) -> dict[str, Reading]:
    """The readings of the rules of these names."""
    return {name: RULES[name](judged) for name in names}


def verdict_of(readings: Mapping[str, Reading]) -> str:
    """The first verdict that needs no more than rules that hold; "hold" if there is none.

    Rules that were not read are not needed.
    """
    for verdict, names in NEEDED.items():
        if all(readings[name].holds for name in names if name in readings):
            return verdict
    return "hold"


def reasons(rules: Mapping[str, Mapping[str, Any]]) -> str:
    """What a promotion lacks, from the codes of rules as `Verdict.rules` has them."""
    lacking = (rules[name] for name in NEEDED["promote"] if not rules[name]["holds"])
    return "; ".join(TEXTS[rule["code"]].format_map(rule) for rule in lacking)
