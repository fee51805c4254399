"""The stages of a day as functions that read tables, call one room, and write tables."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from functools import partial
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from engine.data.as_of import as_of_features
from engine.data.decisions import Author
from engine.data.log_parts import matured_log
from engine.data.rewards import COLUMNS, newly_matured, read_log, with_reward
from engine.data.sources.facts import FIRST_DAY_PROPERTY, SOURCE_PROPERTY, take_in
from engine.data.versions import all_versions
from engine.errors import JobError
from engine.features.declared import Facts, features_at
from engine.inference.decide import contexts_on, decide_day
from engine.inference.frozen import write_decisions
from engine.jobs.judgement import act, judgement
from engine.jobs.report import write_report, write_truth
from engine.jobs.run import Result, Run, now
from engine.models.lineage_table import record_versions
from engine.monitoring.drift import drift_rows
from engine.monitoring.evidence_rows import evidence_rows
from engine.monitoring.health import health_rows, refusal_rows
from engine.monitoring.policy_values import value_rows
from engine.promotion.moves import AliasMove, move_alias
from engine.refs import PolicyRef
from engine.training.train import Trained, train
from policies import LoggedDecisions
from policies.deciding.groups import Groups
from policies.errors import ModelFileError, TooFewDaysError
from policies.judging.lineages import next_step

FEATURES_PROPERTY = "nba.features"  # of the table customer_features


def data_generation(run: Run) -> Result:
    """Write the facts that the source knows by the day: customers, outcomes, events, decisions."""
    tables, written = run.tables, Counter[str]()
    notes: list[str] = []
    owner = {
        SOURCE_PROPERTY: run.parameters.source,
        FIRST_DAY_PROPERTY: str(run.parameters.as_of),
    }
    with tables.staging():
        for facts in run.source.fetch(run.parameters, tables):
            written.update(take_in(tables, facts, owner))
            notes.append(facts.note)
    tables.ensure("decisions")
    run.complete("data_generation")
    if tables.schema != run.parameters.schema:
        notes.append(f"in {run.place}, since {run.parameters.schema} holds another source")
    return Result("; ".join(notes), dict(written))


def feature_engineering(run: Run) -> Result:
    """Make the day's features and those of new decisions; then mature rewards.

    Raises:
        JobError: the day's facts are not complete.
    """
    tables, day = run.tables, run.parameters.as_of
    run.require("data_generation", "data_pipeline_job")
    declared = _declared(run)
    decisions = tables.read("decisions").where(F.col("decision_date") < F.lit(day))
    wanted = decisions.select(F.col("decision_date").alias("day")).distinct()
    days = {row["day"] for row in wanted.collect()} | {day}
    if tables.exists("customer_features"):
        done = tables.read("customer_features").select(F.to_date("feature_ts").alias("day"))
        days -= {row["day"] for row in done.distinct().collect()}
    written = {"customer_features": 0}
    if days:
        rows = _features(run, sorted(days))
        tables.note("customer_features", declared)
        written["customer_features"] = tables.add_new("customer_features", rows, declared)
    if day not in days and not tables.count("decisions", f"decision_date = DATE '{day}'"):
        # No decision has used the day's rows: facts that came late since may change them.
        where = f"feature_ts = TIMESTAMP '{day} 00:00:00'"
        count, wrote = tables.replace("customer_features", _features(run, [day]), where)
        written["customer_features"] = count if wrote else 0
    matured = newly_matured(tables, run.config.engine.reward, day, run.source.last_day)
    rewarded = with_reward(matured, all_versions(tables, "outcomes"), run.config, day)
    moments = rewarded.select("decision_ts", *COLUMNS)
    contexts = as_of_features(moments, tables.read("customer_features"), list(run.features))
    rows = contexts.select(*COLUMNS, *run.features)
    written["rewarded_decisions"] = tables.add_new("rewarded_decisions", rows)
    run.complete("feature_engineering")
    return Result(f"features of {len(days)} days; rewards matured by {day}", written)


def _declared(run: Run) -> dict[str, str]:
    """The property of `customer_features` that says how each feature was ever declared.

    Raises:
        JobError: a feature is declared otherwise than when rows of it were made.
    """
    recorded = run.tables.properties("customer_features").get(FEATURES_PROPERTY, "{}")
    known, digests = json.loads(recorded), run.config.features.digests
    if changed := [name for name in digests if known.get(name, digests[name]) != digests[name]]:
        raise JobError(
            f"{', '.join(changed)}: declared otherwise than when earlier rows were made.",
            where=f"{run.place}.customer_features",
            hint="models and decisions rest on those rows: give what is new a name of its own",
        )
    return {FEATURES_PROPERTY: json.dumps({**known, **digests}, sort_keys=True)}


def _features(run: Run, days: list[dt.date]) -> Any:
    customers, events = (all_versions(run.tables, name) for name in ("customers", "events"))
    decisions, people = (run.tables.read(name) for name in ("decisions", "customers"))
    catalogue, definitions = run.config.catalogue, run.config.features
    if definitions.attributes_only:  # they do not change: no row on days without a decision
        past = F.col("decision_date").isin(days) & (F.col("decision_date") < F.lit(days[-1]))
        decided = decisions.where(past).select("customer_id", F.col("decision_date").alias("day"))
        today = people.select("customer_id", F.lit(days[-1]).alias("day"))
        moments = decided.unionByName(today).distinct()
    else:
        asked = F.explode(F.array(*map(F.lit, days))).alias("day")
        moments = people.select("customer_id", asked)
    groups = {action.id: action.group for action in catalogue.actions}
    return features_at(moments, days, Facts(customers, events, decisions, groups), definitions)


def model_training(run: Run) -> Result:
    """Fit and select on early days; register the best as `@candidate`.

    While too few days have matured there is nothing to register, and the summary says so.

    Raises:
        JobError: the day's features and rewards are not complete.
    """
    run.require("feature_engineering", "data_pipeline_job")
    run.reconcile()
    day, standing = run.parameters.as_of, run.standing
    champion, lineage = standing.champion, standing.lineage_before
    incumbent = (standing.full_name(champion), standing.policy(champion))
    newest = None if lineage is None else standing.usable(PolicyRef.parse(lineage.newest))
    trial = (lineage, newest) if lineage and newest else None  # refused: chooses anew
    try:
        with matured_log(run.tables, run.config, run.features, day) as log:
            made = train(log, incumbent, run.registry, run.config, day, trial)
    except TooFewDaysError as error:
        what = f"{error.what[:1].lower()}{error.what[1:].rstrip('.')}"
        return Result(f"nothing trained yet: {what}; {error.hint}", {"fit": 0, "select": 0})
    version, rows = made.version, {"fit": made.split.fit_span.rows}
    rows["select"] = made.split.select_span.rows
    if version is None:
        return Result(_nothing(made, incumbent[0]) + standing.refusals, rows)
    record_versions(run.tables, run.registry, standing.recorded)
    reason = f"trained through {version.tags['trained_through']}"
    move = AliasMove(day, "candidate", version.number, "training_job", reason)
    moved = move_alias(run.tables, run.registry, standing.history, move, now())
    recipe = version.tags["recipe"]
    if made.selection is None:
        summary = f"unchanged inputs: version {version.number} ({recipe}) already exists"
    else:
        best = made.selection.table.iloc[0]
        how = f"best of {len(made.selection.table)}" if trial is None else "on trial, fitted anew"
        summary = (
            f"version {version.number}{' (@candidate)' if moved else ''}: {recipe}, {how},"
            f" {best['difference']:+.4f} vs {incumbent[0]} on later days"
            f" (lower bound {best['difference_low']:+.4f})"
        )
    return Result(summary + standing.refusals, rows)


def _nothing(made: Trained, incumbent: str) -> str:
    """Why no version came of a training."""
    if made.selection is None:
        return "unchanged inputs: no acceptable recipe last time either"
    best = made.selection.table.iloc[0]
    return (
        f"nothing registered: the best of {len(made.selection.table)} recipes, {best.name}, is worse"
        f" than {incumbent} by more than the margin ({best['difference']:+.4f} on later days)"
    )


def batch_inference(run: Run) -> Result:
    """Decide for every customer; replaces exactly that day's decisions.

    Where the files of the champion, or of the one before, are refused, the configured incumbent
    decides, under its own name; `drift` and the summary say so.

    Raises:
        JobError: the day's decisions are frozen, and would change.
    """
    run.reconcile()
    day, settings, standing = run.parameters.as_of, run.config.engine, run.standing
    champion, before = standing.champion, standing.previous
    groups = Groups(
        uniform=settings.groups.uniform,
        holdout=settings.groups.holdout,
        previous=settings.groups.previous if before else 0.0,
    )
    model = str(champion) if champion.is_baseline else run.registry.model_name
    run_id = f"{now():%Y%m%dT%H%M%S}"
    author = Author(model, champion.version, run.config.features.hash, run_id)
    rows = decide_day(
        contexts_on(run.tables, run.config.catalogue, list(run.features), day),
        standing.policy(champion),
        run.config.catalogue,
        author,
        day,
        floor=settings.exploration.floor,
        groups=groups,
        previous=standing.policy(before) if before else None,
    )
    count, wrote = write_decisions(run.tables, rows, day)
    if standing.refused:
        run.tables.add_rows("drift", refusal_rows(standing.refused).assign(as_of=day))
    said = "decided by" if wrote else "as decided before by"
    return Result(f"{said} {standing.full_name(champion)}{standing.refusals}", {"decisions": count})


def monitoring(run: Run) -> Result:
    """Estimate the policies' values, freeze the day's evidence, and measure drift.

    Raises:
        JobError: the day's features and rewards are not complete, or its decisions are not there.
    """
    day, tables = run.parameters.as_of, run.tables
    if not tables.count("decisions", f"decision_date = DATE '{day}'"):
        raise JobError(
            f"No decisions were made for {day}.",
            where=tables.name("decisions"),
            hint=f"run inference_job with as_of={day} first",
        )
    run.require("feature_engineering", "data_pipeline_job")
    run.reconcile()
    standing = run.standing
    log = read_log(tables, run.config, run.features, day)
    windows = windows_of(run, log)
    rows = [value_rows(part, policies, name) for name, (part, policies) in windows.items()]
    values = pd.concat(rows) if rows else pd.DataFrame()
    contexts = contexts_on(tables, run.config.catalogue, list(run.features), day)
    assert log.contexts is not None
    drift = drift_rows(
        log.contexts, contexts.select(*run.features).toPandas(), run.config.engine.drift.psi
    )
    lineage = standing.lineage
    health = []
    if lineage is not None:
        step = next_step(standing.lineages, lineage, "", standing.history, day)
        refs = (PolicyRef.parse(number) for number in (lineage.newest, step.version))
        candidate, _ = (standing.usable(ref) for ref in refs)
        if candidate is not None:
            health = [health_rows(log, candidate, run.config)]
    written = {
        "policy_values": tables.add_rows("policy_values", values.assign(as_of=day)),
        "evidence": _freeze(run, log),
    }
    if standing.refused:
        health.append(refusal_rows(standing.refused, dict(lineage.versions) if lineage else ()))
    written["drift"] = tables.add_rows("drift", pd.concat([drift, *health]).assign(as_of=day))
    if run.simulated is not None:
        write_truth(run, run.simulated, windows)
    changed = list(drift.loc[drift["status"] == "changed", "subject"])
    change = f"customers changed in {', '.join(changed)}" if changed else "no drift"
    if (drift["status"] == "unknown").all():
        change = "nothing to measure drift against"
    summary = f"{len(log):,} matured decisions valued; {change}{standing.refusals}"
    return Result(summary, written)


def _freeze(run: Run, log: LoggedDecisions) -> int:
    """Add the day sums that have become known; days that are frozen already stay as they are.

    Where a version that scores one is refused, none is added: they wait for its files.
    """
    standing, lineage = run.standing, run.standing.lineage
    if lineage is None:
        return 0
    incumbent = (str(standing.champion), standing.policy(standing.champion))
    day, frozen = run.parameters.as_of, standing.evidence()
    since = partial(read_log, run.tables, run.config, run.features, day)
    try:
        rows = evidence_rows(log, lineage, standing.load, incumbent, run.config, frozen, day, since)
    except ModelFileError:  # noted by `standing`; `drift` and the summary say so
        return 0
    return run.tables.add_rows("evidence", rows)


def windows_of(run: Run, log: LoggedDecisions) -> dict[str, tuple[LoggedDecisions, Any]]:
    """Rows of the log, and the policies that they can judge fairly, by the window's name.

    `all` holds rows that learned policies have learned from, so it judges baselines only.
    """
    standing = run.standing
    policies = {str(ref): standing.policy(ref) for ref in standing.baselines()}
    windows = {"all": (log, policies)}
    if standing.lineage is not None:
        refs = [standing.champion, PolicyRef.parse(standing.lineage.newest)]
        unseen = log.split_by_date(standing.unseen_from(*refs))[1]
        loaded = {ref: standing.usable(ref) for ref in refs if not ref.is_baseline}
        learned = {standing.full_name(ref): policy for ref, policy in loaded.items() if policy}
        windows["unseen"] = (unseen, {**learned, **policies})
    return {name: window for name, window in windows.items() if len(window[0])}


def promotion(run: Run) -> Result:
    """Judge the lineage on trial; move the alias or hold it; write the day's report.

    Raises:
        JobError: monitoring has not run for the day.
    """
    run.reconcile()
    line, verdict, rows = "No candidate is on trial.", "none", {"verdicts": 0, "promotions": 0}
    if run.standing.lineage is not None:
        judged = judgement(run)
        rows = act(run, judged, actor="monitoring_job")
        verdict = judged.verdict
        line = f"Verdict for @{judged.row['to_alias']}: {judged.sentence}"
    closing = (line, f"Report: {write_report(run)}")
    return Result(verdict, rows, closing)
