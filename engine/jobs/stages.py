"""The stages of a day as functions: each reads tables, calls one package, and writes tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from engine.baselines import PREFIX
from engine.data.aliases import AliasHistory
from engine.data.decisions import Author
from engine.data.lineages import on_trial
from engine.data.rewards import COLUMNS, newly_matured, read_log, with_reward
from engine.errors import JobError
from engine.features.context import as_of_features
from engine.features.customer import attributes, behaviour, feature_hash
from engine.inference.decide import contexts_on, decide_day
from engine.jobs.report import write_report
from engine.jobs.run import Result, Run
from engine.jobs.standing import (
    champion,
    evidence_of,
    full_name,
    lineages_by,
    newest_lineage,
    previous_policy,
    unseen_from,
    valued,
    verdicts,
)
from engine.monitoring.drift import drift_rows
from engine.monitoring.evidence import evidence_rows
from engine.monitoring.value import value_rows
from engine.promotion.promote import judge, move_alias, next_step, verdict_row
from engine.training.train import train
from policies import assess
from policies.deciding.decision import Groups


def data_generation(run: Run) -> Result:
    """Bring in what the source knows by the day: customers, events, decisions and outcomes."""
    facts, tables, written = run.source.bring(run.parameters, run.tables), run.tables, {}
    for table in ("customers", "events", "decisions", "outcomes"):
        rows = getattr(facts, table)
        if rows is not None:
            written[table] = tables.add_new(table, tables.frame(rows))
        if table == "customers":
            run.claim()
    tables.clear_staging()
    note = facts.note
    if tables.schema != run.parameters.schema:
        note += f"; in {run.place}, since {run.parameters.schema} holds another source"
    return Result(note, written)


def feature_engineering(run: Run) -> Result:
    """Make the day's features and those of new decisions; then mature rewards."""
    tables, day = run.tables, run.parameters.as_of
    decisions = tables.read("decisions").where(F.col("decision_date") < F.lit(day))
    wanted = decisions.select(F.col("decision_date").alias("day")).distinct()
    days = {row["day"] for row in wanted.collect()} | {day}
    if tables.exists("customer_features"):
        there = tables.read("customer_features").select(F.to_date("feature_ts").alias("day"))
        days -= {row["day"] for row in there.distinct().collect()}
    written = {"customer_features": 0}
    if days:
        rows = _features(run, sorted(days))
        written["customer_features"] = tables.add_new("customer_features", rows)
    matured = newly_matured(tables, run.config.engine.reward, day, run.source.last_day)
    rewarded = with_reward(matured, tables.read("outcomes"), run.config, day)
    moments = rewarded.select("decision_ts", *COLUMNS)
    known = as_of_features(moments, tables.read("customer_features"), list(run.features))
    rows = known.select(*COLUMNS, *run.features)
    written["rewarded_decisions"] = tables.add_new("rewarded_decisions", rows)
    return Result(f"features of {len(days)} days; rewards matured by {day}", written)


def _features(run: Run, days: list[dt.date]) -> Any:
    customers = run.tables.read("customers")
    if run.source.attributes is None:
        events, decisions = run.tables.read("events"), run.tables.read("decisions")
        return behaviour(customers, events, decisions, days)
    # Attributes do not change: a row for each decision, and one for everybody on the newest day.
    decided = run.tables.read("decisions").where(
        F.col("decision_date").isin(days) & (F.col("decision_date") < F.lit(days[-1]))
    )
    moments = decided.select("customer_id", F.col("decision_date").alias("day"))
    today = customers.select("customer_id", F.lit(days[-1]).alias("day"))
    asked = moments.unionByName(today).select(
        "customer_id", F.col("day").cast("timestamp").alias("feature_ts")
    )
    return attributes(customers, run.source.attributes, asked)


def model_training(run: Run) -> Result:
    """Fit and select on early days; register the best as `@candidate`."""
    day, registry = run.parameters.as_of, run.registry
    log = read_log(run.tables, run.config, run.features, day)
    yesterday = day - dt.timedelta(days=1)
    trial = on_trial(
        lineages_by(run, yesterday), verdicts(run), day, run.config.engine.gate.trial_days
    )
    _, incumbent = champion(run)
    made = train(log, incumbent, registry, run.config, run.features, day, trial)
    version = made.version
    moved = move_alias(
        run.tables,
        registry,
        "candidate",
        version.number,
        day,
        verdict_id=None,
        actor="training_job",
        reason=f"trained through {version.tags['trained_through']}",
        now=_now,
    )
    recipe = version.tags["recipe"]
    if made.selection is None:
        summary = f"an equal training made version {version.number} ({recipe}); nothing to register"
    else:
        row = made.selection.table.iloc[0]
        summary = (
            f"{recipe}, best of {len(made.selection.table)} by lower bound {row['low']:.4f} on later "
            f"days; version {version.number}{' is @candidate' if moved else ''}"
        )
    rows = {"fit": len(made.split.fit), "select": len(made.split.select)}
    return Result(summary, rows, values={"version": version.number})


def batch_inference(run: Run) -> Result:
    """Decide for every customer; replaces exactly that day's decisions."""
    day, settings = run.parameters.as_of, run.config.engine
    name, policy = champion(run)
    previous = previous_policy(run)
    groups = Groups(
        uniform=settings.groups.uniform,
        holdout=settings.groups.holdout,
        previous=settings.groups.previous if previous else 0.0,
    )
    version = "" if name.startswith(PREFIX) else name
    author = Author(
        name if not version else run.registry.model_name,
        version,
        feature_hash(run.features),
        f"{_now():%Y%m%dT%H%M%S}",
    )
    contexts = contexts_on(run.tables, run.config.catalogue, list(run.features), day)
    rows = decide_day(
        contexts,
        policy,
        run.config.catalogue,
        author,
        day,
        floor=settings.exploration.floor,
        groups=groups,
        previous=previous,
    )
    count, wrote = run.tables.replace("decisions", rows, f"decision_date = DATE '{day}'")
    said = "decided" if wrote else "as decided before"
    return Result(f"{said} by {full_name(run, name)} for {day}", {"decisions": count})


def monitoring(run: Run) -> Result:
    """Value policies on the matured log, freeze the day's evidence, and look for drift.

    Raises:
        JobError: the day's decisions are not there.
    """
    day, tables, config = run.parameters.as_of, run.tables, run.config
    today = tables.count("decisions", f"decision_date = DATE '{day}'")
    if not today:
        raise JobError(
            f"No decisions were made for {day}.",
            where=tables.name("decisions"),
            hint=f"run inference_job with as_of={day} first",
        )
    log = read_log(tables, config, run.features, day)
    lineage = newest_lineage(run)
    parts = [value_rows(log, valued(run, "all"), "all")]
    if lineage is not None:
        unseen = log.split_by_date(unseen_from(run, lineage))[1]
        if len(unseen):
            parts.append(value_rows(unseen, valued(run, "unseen"), "unseen"))
    values = pd.concat(parts).assign(as_of=day)
    written = {"policy_values": tables.add_rows("policy_values", values)}
    written["evidence"] = 0
    if lineage is not None:
        name, incumbent = champion(run)
        frozen = evidence_of(run, lineage, name)
        rows = evidence_rows(
            log, lineage, run.registry.load, (name, incumbent), config, frozen, day
        )
        written["evidence"] = tables.add_rows("evidence", rows)
    assert log.contexts is not None
    contexts = contexts_on(tables, config.catalogue, list(run.features), day)
    current = contexts.select(*run.features).toPandas()
    drift = drift_rows(log.contexts, current, config.engine.drift.psi).assign(as_of=day)
    written["drift"] = tables.add_rows("drift", drift)
    changed = list(drift.loc[drift["status"] == "changed", "subject"])
    said = f"changed since the log: {', '.join(changed)}" if changed else "no drift"
    return Result(f"{len(log):,} matured decisions valued; {said}", written)


def promotion(run: Run) -> Result:
    """Judge the lineage on trial; move the alias or hold it; write the day's report."""
    day, tables = run.parameters.as_of, run.tables
    log = read_log(tables, run.config, run.features, day)
    lineage, rows = newest_lineage(run), {"verdicts": 0, "promotions": 0}
    said, verdict = "no candidate is on trial", "none"
    if lineage is not None:
        name, _ = champion(run)
        evidence = evidence_of(run, lineage, name)
        history = AliasHistory.read(tables, run.registry.model_name)
        step = next_step(lineages_by(run, day), lineage, name, history, day)
        health = assess(log, run.registry.load(step.version))
        problems = health.reasons if health.verdict == "broken" else ()
        judged = judge(step, evidence, run.config.engine.gate, problems)
        row = verdict_row(run.registry.model_name, step, judged, evidence, day)
        rows["verdicts"] = tables.add_rows("verdicts", pd.DataFrame([row]))
        verdict, said = judged.verdict, f"{step.alias}: {judged.sentence}"
        if verdict == "promote":
            rows["promotions"] = int(
                move_alias(
                    tables,
                    run.registry,
                    step.alias,
                    step.version,
                    day,
                    verdict_id=row["verdict_id"],
                    actor="monitoring_job",
                    reason=judged.sentence,
                    now=_now,
                )
            )
    path = write_report(run, log)
    closing = (f"Verdict for @{said}" if verdict != "none" else said, f"Report: {path}")
    return Result(verdict, rows, closing, {"verdict": verdict})


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)
