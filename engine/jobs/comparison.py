"""Compare two policies by name: their values on unseen days, and the gate's reading of the pair."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from typing import Any, Optional

import numpy as np
import pandas as pd

from engine.config import Config
from engine.data.rewards import read_log
from engine.errors import JobError, RegistryError
from engine.jobs import Run
from engine.jobs.judgement import monitored_problems
from engine.models.baselines import PREFIX
from engine.models.lineages import Lineage
from engine.models.registry import ALIASES
from engine.monitoring.evidence_rows import evidence_rows
from engine.monitoring.health import health_rows, problems
from engine.promotion.promote import Step, judge, next_step
from policies import LoggedDecisions, Policy, Verdict, cross_fit, evaluate, final_distribution
from policies.errors import did_you_mean


@dataclass(frozen=True, eq=False)
class Compared:
    """Two policies on the same decisions.

    Args:
        names: the candidate's and the incumbent's, versions by number.
        days: first and last decision day that neither learned from, and how many there are.
        values: columns policy and estimator, then those of `policies.evaluate`, on these days.
        trial: the lineage on trial whose evidence the gate reads; None where the pair is not on
            trial, and the gate reads the same days as the values.
        verdict: the gate's.
    """

    names: tuple[str, str]
    days: tuple[str, str, int]
    values: pd.DataFrame
    trial: Optional[str]
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON output; the verdict in it is the recommendation's."""
        gate = self.verdict.to_dict()
        recommendation = {"verdict": gate.pop("verdict"), "reason": gate.pop("sentence")}
        return {
            "candidate": self.names[0],
            "incumbent": self.names[1],
            "days": dict(zip(("first", "last", "count"), self.days)),
            "values": self.values.to_dict("records"),
            "trial": self.trial,
            "rules": gate.pop("rules"),
            "difference": gate,
            "recommendation": recommendation,
        }


def compare_models(run: Run, candidate: str, incumbent: str) -> Compared:
    """Compare two policies, given by name, on the log matured by the run's day.

    The verdict is the gate's, by the rules and settings of the job. Of the lineage on trial against
    the champion the gate reads the evidence that the job reads, which includes days that the next
    monitoring will freeze; of any other pair the days that neither learned from, for staging.

    Raises:
        RegistryError: no such model, alias or version.
        ConfigError: no such baseline.
        JobError: no matured day is unseen by both.
    """
    state, config, day = run.standing, run.config, run.parameters.as_of
    first, second = resolve(run, candidate), resolve(run, incumbent)
    names = state.full_name(first), state.full_name(second)
    unseen = state.unseen_from(first, second)
    log, load = read_log(run.tables, config, run.features, day), cache(state.policy)
    values, days = values_on_unseen_days(log, names, (load(first), load(second)), config, unseen)
    lineage, trial, evidence, reasons = state.lineage, None, pd.DataFrame(), None
    if lineage and second == state.champion and first in dict(lineage.versions):
        trial, evidence, reasons = lineage.name, state.evidence(), monitored_problems(run)
        step = next_step(state.lineages, lineage, second, state.history, day)
    else:
        lineage = Lineage(first, first, day, ((first, unseen or dt.date.min),))
        own = [first in dict(known.versions) for known in state.lineages]
        step = Step("staging", first, second, own.index(True) + 1 if any(own) else 1)
    if reasons is None:  # as monitoring will
        reasons = problems(health_rows(log, load(lineage.newest)))
        rows = evidence_rows(log, lineage, load, (second, load(second)), config, evidence, day)
        evidence = pd.concat([evidence, rows]) if len(evidence) else rows
    verdict = judge(step, evidence, config.engine.gate, reasons)
    return Compared(names, days, values, trial, verdict)


def resolve(run: Run, text: str) -> str:
    """A version's number, or a baseline's name, from `[model]@alias`, `[model]:3`, `baseline:…`.

    An alias stands for what it was moved to by the run's day, moves of that day included; where
    there is no champion yet, `@champion` is the incumbent of the configuration.

    Raises:
        RegistryError: another model, an unknown alias, or an alias that no version has.
    """
    if text.startswith(PREFIX):
        return text
    mark = "@" if "@" in text else ":"
    model, _, rest = text.partition(mark)
    if not rest:
        raise RegistryError(
            f"{text!r} does not say which version.",
            hint=f"write {model or run.registry.model_name}@candidate, …:1, or baseline:uniform",
        )
    check_model(run, model)
    if mark == ":":
        return run.registry.version(rest).number
    if rest not in ALIASES:
        raise RegistryError(f"There is no alias {rest!r}.", hint=did_you_mean(rest, ALIASES))
    number = run.standing.history.version(rest, run.parameters.as_of, today=True)
    if number is None and rest == "champion":
        return run.config.engine.gate.incumbent
    if number is None:
        versions = ", ".join(f":{version.number}" for version in run.registry.versions())
        raise RegistryError(
            f"No version was @{rest} by {run.parameters.as_of}.",
            where=run.registry.model_name,
            hint=f"versions: {versions or 'none yet'}",
        )
    return number


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


def values_on_unseen_days(
    log: LoggedDecisions,
    names: tuple[str, str],
    policies: tuple[Policy, Policy],
    config: Config,
    unseen_from: Optional[dt.date],
) -> tuple[pd.DataFrame, tuple[str, str, int]]:
    """Value policies as they would act, on the decisions from a day on; None takes all.

    Returns:
        `values` and `days` of `Compared`.

    Raises:
        JobError: no day is left.
    """
    dates = log.decision_date
    assert dates is not None
    unseen = np.ones(len(log), dtype=bool)
    if unseen_from is not None:
        unseen = dates >= np.datetime64(unseen_from)
    if not unseen.any():
        raise JobError(
            f"No matured day is left that neither {names[0]} nor {names[1]} learned from.",
            where=f"rewarded_decisions; they may be judged on decisions from {unseen_from} on",
            hint="choose a later --as-of, or an older version",
        )
    part, days, expected = log[unseen], np.unique(dates[unseen]), cross_fit(log)[unseen]
    floor, share = config.engine.exploration.floor, config.engine.groups.uniform
    tables = []
    for name, policy in zip(names, policies):
        acting = final_distribution(
            policy, part.contexts, part.eligible, floor=floor, uniform_share=share
        )
        tables.append(evaluate(part, acting, expected_reward=expected).reset_index())
        tables[-1].insert(0, "policy", name)
    return pd.concat(tables, ignore_index=True), (str(days[0]), str(days[-1]), len(days))
