"""The day's verdict on a model: made once, recorded, and then acted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

import pandas as pd

from engine.errors import JobError
from engine.jobs.run import Run, now
from engine.monitoring.health import LOG, problems
from engine.promotion.moves import AliasMove, move_alias
from engine.promotion.promote import judge, verdict_row
from policies.judging.lineages import next_step


@dataclass(frozen=True)
class Judgement:
    """The day's verdict on a model.

    Args:
        row: of `verdicts`.
        sentence: the verdict and why.
        recorded: whether it was in the table before; the recorded verdict then counts, whatever the
            gate would say now.
    """

    row: Mapping[str, Any]
    sentence: str
    recorded: bool

    @property
    def verdict(self) -> str:
        """`promote`, `hold` or `reject`."""
        return str(self.row["verdict"])


def judgement(run: Run) -> Judgement:
    """Judge the lineage on trial; nothing is written.

    Raises:
        JobError: there is no lineage on trial, or monitoring has not run for the day.
    """
    state, day = run.standing, run.parameters.as_of
    row, sentence = judged_anew(run)
    rows = state.verdicts[state.verdicts["as_of"] == day]
    if rows.empty:
        return Judgement(row, sentence, recorded=False)
    recorded = {str(key): value for key, value in rows.iloc[0].items()}
    if all(recorded[key] == row[key] for key in ("verdict_id", "verdict")):
        return Judgement(recorded, sentence, recorded=True)
    sentence = f"{recorded['verdict']} (already recorded for this day)"
    return Judgement(recorded, sentence, recorded=True)


def judged_anew(run: Run) -> tuple[dict[str, Any], str]:
    """The row of `verdicts` and the sentence that the gate gives now, whatever is recorded.

    Raises:
        JobError: there is no lineage on trial, or monitoring has not run for the day.
    """
    state, day, model = run.standing, run.parameters.as_of, run.registry.model_name
    if state.lineage is None:
        raise JobError("No candidate is on trial.", hint=f"run training_job with as_of={day}")
    reasons = monitored_problems(run)
    if reasons is None:
        raise JobError(
            f"Nothing was monitored for {day}.", hint=f"run monitoring_job with as_of={day}"
        )
    evidence, champion = state.evidence(), str(state.champion)
    step = next_step(state.lineages, state.lineage, champion, state.history, day)
    verdict = judge(step, evidence, run.config.engine.gate, reasons)
    return verdict_row(model, step, verdict, evidence, day), verdict.sentence


def monitored_problems(run: Run) -> Optional[list[str]]:
    """Why the log cannot be trusted, as monitored on the day; None if it was not monitored."""
    where = f"as_of = DATE '{run.parameters.as_of}' AND subject = '{LOG}'"
    drift = run.tables.read_if_any("drift").where(where).toPandas()
    return None if drift.empty else problems(drift)


def act(run: Run, judged: Judgement, actor: str) -> dict[str, int]:
    """Record the verdict, and move the alias that it promotes.

    A recorded promotion whose move did not happen is completed.

    Returns:
        Table -> rows written: `verdicts` and `promotions`, each 0 or 1.
    """
    row, written = judged.row, {"verdicts": 0, "promotions": 0}
    if not judged.recorded:
        written["verdicts"] = run.tables.add_rows("verdicts", pd.DataFrame([row]))
    if judged.verdict == "promote":
        move = AliasMove(
            run.parameters.as_of,
            row["to_alias"],
            row["candidate"],
            actor,
            judged.sentence,
            row["verdict_id"],
        )
        moved = move_alias(run.tables, run.registry, run.standing.history, move, now())
        written["promotions"] = int(moved)
    return written
