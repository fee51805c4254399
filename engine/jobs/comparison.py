"""What `nba compare-models` finds out: two policies by name, valued on days neither learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import pandas as pd

from engine.config import Config
from engine.data.rewards import read_log
from engine.errors import JobError, RegistryError, require_known
from engine.jobs import Run
from engine.models.registry import ALIASES
from engine.refs import PolicyRef
from policies import (
    Comparison,
    LoggedDecisions,
    Policy,
    assess,
    compare,
    cross_fit,
    evaluate,
    final_distribution,
)
from policies.errors import did_you_mean
from policies.judging.assessment import MIN_EFFECTIVE_N


@dataclass(frozen=True, eq=False)
class Compared:
    """Two policies on the same decisions.

    Args:
        names: the candidate's and the incumbent's, versions by number.
        days: first and last decision day that both may be judged on, and how many there are.
        values: columns policy and estimator, then those of `policies.evaluate`.
        difference: the paired difference, candidate minus incumbent.
        verdict: what is recommended: promote, hold or reject.
        reason: why, in one sentence.
    """

    names: tuple[str, str]
    days: tuple[str, str, int]
    values: pd.DataFrame
    difference: Comparison
    verdict: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """What the JSON output shows; the one verdict in it is the recommendation's."""
        gap = {key: each for key, each in self.difference.to_dict().items() if key != "verdict"}
        return {
            "candidate": self.names[0],
            "incumbent": self.names[1],
            "days": dict(zip(("first", "last", "count"), self.days)),
            "values": self.values.to_dict("records"),
            "difference": gap,
            "recommendation": {"verdict": self.verdict, "reason": self.reason},
        }


def compare_models(run: Run, candidate: str, incumbent: str) -> Compared:
    """Compare two policies, given by name, on the log matured by the run's day.

    Raises:
        RegistryError: no such model, alias or version.
        ConfigError: no such baseline.
        JobError: no matured day is unseen by both.
    """
    standing = run.standing
    first, second = resolve(run, candidate), resolve(run, incumbent)
    log = read_log(run.tables, run.config, run.features, run.parameters.as_of)
    return compare_on_unseen_days(
        log,
        (standing.full_name(first), standing.policy(first)),
        (standing.full_name(second), standing.policy(second)),
        run.config,
        standing.unseen_from(first, second),
    )


def resolve(run: Run, text: str) -> PolicyRef:
    """The version or baseline that `[model]@alias`, `[model]:3` or `baseline:…` names.

    An alias stands for the version it was moved to by the run's day, moves of that day included;
    without a champion, `@champion` is the incumbent of the configuration.

    Raises:
        RegistryError: another model, an unknown alias, or an alias that no version has.
    """
    ref = PolicyRef.parse(text)
    if ref.is_baseline:
        return ref
    check_model(run, ref.name)
    if ref.kind == "version":
        return PolicyRef.parse(run.registry.version(ref.version).number)
    alias, day = ref.version, run.parameters.as_of
    require_known(alias, ALIASES, RegistryError, f"There is no alias {alias!r}.")
    number = run.standing.history.version(alias, day, today=True)
    if number is None and alias == "champion":
        return PolicyRef.parse(run.config.engine.gate.incumbent)
    if number is None:
        versions = ", ".join(f":{version.number}" for version in run.registry.versions())
        raise RegistryError(
            f"No version was @{alias} by {day}.",
            where=run.registry.model_name,
            hint=f"versions: {versions or 'none yet'}",
        )
    return PolicyRef.parse(number)


def check_model(run: Run, model: str) -> None:
    """The name, if one is given, must be that of the target's and the source's model.

    Raises:
        RegistryError: it is another.
    """
    own = run.registry.model_name
    if model and model != own:
        raise RegistryError(
            f"There is no model {model!r} in this target for source {run.parameters.source!r}.",
            hint=f"{did_you_mean(model, [own])}; others need their own --target or --source",
        )


def compare_on_unseen_days(
    log: LoggedDecisions,
    candidate: tuple[str, Policy],
    incumbent: tuple[str, Policy],
    config: Config,
    unseen_from: Optional[Any],
) -> Compared:
    """Value two policies as they would act, on the decisions from a day on.

    Args:
        log: all matured decisions; the reward models of the kept days may read them.
        candidate, incumbent: name and policy.
        config: floor, uniform share and margin.
        unseen_from: the first day that neither has learned from; None keeps all days.

    Raises:
        JobError: no day is left.
    """
    dates = log.decision_date
    assert dates is not None
    kept = np.ones(len(log), dtype=bool)
    if unseen_from is not None:
        kept = dates >= np.datetime64(unseen_from)
    if not kept.any():
        raise JobError(
            f"No matured day is left that neither {candidate[0]} nor {incumbent[0]} learned from.",
            where=f"rewarded_decisions; they may be judged on decisions from {unseen_from} on",
            hint="choose a later --as-of, or an older version",
        )
    part, days = log[kept], np.unique(dates[kept])
    acting = [_acting(policy, part, config) for _, policy in (candidate, incumbent)]
    names, folds = (candidate[0], incumbent[0]), cross_fit(log)[kept]
    values = [
        evaluate(part, each, expected_reward=folds).reset_index().assign(policy=name)
        for name, each in zip(names, acting)
    ]
    difference = compare(
        part,
        *acting,
        expected_reward=cross_fit(log, by="date")[kept],
        interval="sequence",
        margin=config.engine.gate.margin,
    )
    table = pd.concat(values, ignore_index=True)
    table.insert(0, "policy", table.pop("policy"))
    health = assess(part, acting[0])
    problems = health.reasons if health.verdict == "broken" else []
    span = (str(days[0]), str(days[-1]), len(days))
    return Compared(names, span, table, difference, *recommendation(difference, problems))


def recommendation(found: Comparison, problems: list[str]) -> tuple[str, str]:
    """Promote, hold or reject, and why; nothing is recommended on what the gate would refuse.

    Args:
        found: a paired difference with its interval and margin.
        problems: why the log cannot be trusted, if anything.
    """
    limit = f"the margin of {-found.margin:+.4f}"
    if problems:
        return "hold", f"the log cannot be trusted: {'; '.join(problems)}"
    if found.range != "declared":
        return "hold", "the reward range or the logging probabilities were not declared"
    if found.verdict == "reject":
        return "reject", f"even the upper bound {found.high:+.4f} lies below {limit}"
    if not found.effective_n:
        return "hold", "both would act the same on these decisions"
    if found.effective_n < MIN_EFFECTIVE_N:
        return "hold", (
            f"only {found.effective_n:.0f} effective decisions tell the two apart;"
            f" {MIN_EFFECTIVE_N:.0f} are needed"
        )
    if found.verdict == "hold":
        return "hold", (
            f"from {found.low:+.4f} to {found.high:+.4f} the difference may lie on either side of"
            f" {limit}; more days will narrow it"
        )
    if found.low > 0:
        return "promote", f"even the lower bound {found.low:+.4f} lies above 0"
    return "promote", f"not shown to be better, but the lower bound {found.low:+.4f} clears {limit}"


def _acting(policy: Policy, log: LoggedDecisions, config: Config) -> np.ndarray:
    """The distribution with which the policy would have been drawn from."""
    floor, share = config.engine.exploration.floor, config.engine.groups.uniform
    return final_distribution(policy, log.contexts, log.eligible, floor=floor, uniform_share=share)
