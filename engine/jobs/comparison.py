"""Compare two policies by name: their values on unseen days, and the gate's reading of the pair."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Optional

import numpy as np
import pandas as pd

from engine.config import Config
from engine.data.rewards import read_log
from engine.errors import JobError, RegistryError
from engine.jobs import Run
from engine.jobs.judgement import monitored_problems
from engine.models.registry import ALIASES
from engine.monitoring.evidence_rows import evidence_rows
from engine.monitoring.health import health_rows, problems
from engine.promotion.promote import judge
from engine.refs import PolicyRef
from policies import AsDeployed, LoggedDecisions, Policy, Verdict, cross_fit, evaluate
from policies.errors import did_you_mean, require_known
from policies.judging.lineages import Lineage, Step, next_step


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
    log = read_log(run.tables, config, run.features, day)
    load = cache(lambda text: state.policy(PolicyRef.parse(text)))
    one, other = str(first), str(second)
    values, days = values_on_unseen_days(log, names, (load(one), load(other)), config, unseen)
    lineage, trial, evidence, reasons = state.lineage, None, pd.DataFrame(), None
    if lineage and second == state.champion and one in dict(lineage.versions):
        trial, evidence, reasons = lineage.name, state.evidence(), monitored_problems(run)
        step = next_step(state.lineages, lineage, other, state.history, day)
    else:
        lineage = Lineage(one, day, ((one, unseen or dt.date.min),))
        own = [one in dict(known.versions) for known in state.lineages]
        step = Step("staging", one, other, own.index(True) + 1 if any(own) else 1)
    if reasons is None:  # as monitoring will
        reasons = problems(health_rows(log, load(lineage.newest), config))
        since = partial(read_log, run.tables, config, run.features, day)
        pair = (other, load(other))
        rows = evidence_rows(log, lineage, load, pair, config, evidence, day, since)
        evidence = pd.concat([evidence, rows]) if len(evidence) else rows
    verdict = judge(step, evidence, config.engine.gate, reasons)
    return Compared(names, days, values, trial, verdict)


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
    unseen = dates >= np.datetime64(unseen_from or dt.date.min)
    if not unseen.any():
        raise JobError(
            f"No matured day is left that neither {names[0]} nor {names[1]} learned from.",
            where=f"rewarded_decisions; they may be judged on decisions from {unseen_from} on",
            hint="choose a later --as-of, or an older version",
        )
    part, days, expected = log[unseen], np.unique(dates[unseen]), cross_fit(log)[unseen]
    acting = [AsDeployed(policy, config.exploration) for policy in policies]
    tables = [evaluate(part, policy, expected_reward=expected) for policy in acting]
    values = pd.concat(tables, keys=names, names=["policy"]).reset_index()
    return values, (str(days[0]), str(days[-1]), len(days))
