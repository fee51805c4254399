"""What the gate says of a model on a day: said once, recorded, and then acted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from engine.errors import JobError
from engine.jobs.run import Run, now
from engine.monitoring.health import LOG, problems
from engine.promotion.promote import judge, move_alias, next_step, verdict_row


@dataclass(frozen=True)
class Judgement:
    """The day's verdict on a model.

    Args:
        row: of `verdicts`.
        sentence: the verdict and why.
        recorded: whether it stood in the table before; then it stands, whatever the gate would
            say now.
    """

    row: Mapping[str, Any]
    sentence: str
    recorded: bool

    @property
    def verdict(self) -> str:
        """`promote`, `hold` or `reject`."""
        return str(self.row["verdict"])


def judgement(run: Run) -> Judgement:
    """Ask the gate about the lineage on trial; nothing is written.

    Raises:
        JobError: there is no lineage on trial, or monitoring has not run for the day.
    """
    standing, day, model = run.standing, run.parameters.as_of, run.registry.model_name
    if standing.lineage is None:
        raise JobError("No candidate is on trial.", hint=f"run training_job with as_of={day}")
    drift = run.tables.read("drift").where(f"as_of = DATE '{day}' AND subject = '{LOG}'").toPandas()
    if drift.empty:
        raise JobError(
            f"Nothing was monitored for {day}.", hint=f"run monitoring_job with as_of={day}"
        )
    evidence = standing.evidence()
    step = next_step(
        standing.lineages, standing.lineage, str(standing.champion), standing.history, day
    )
    judged = judge(step, evidence, run.config.engine.gate, problems(drift))
    row = verdict_row(model, step, judged, evidence, day)
    verdicts = run.tables.read("verdicts").toPandas()
    before = verdicts[(verdicts["model_name"] == model) & (verdicts["as_of"] == day)]
    if before.empty:
        return Judgement(row, judged.sentence, recorded=False)
    stands = {str(key): value for key, value in before.iloc[0].items()}
    sentence = judged.sentence
    if any(stands[key] != row[key] for key in ("verdict_id", "verdict")):
        sentence = f"{stands['verdict']}: recorded before for this day, and it stands"
    return Judgement(stands, sentence, recorded=True)


def act(run: Run, judged: Judgement, actor: str) -> dict[str, int]:
    """Record the verdict, and move the alias that a promotion asks for.

    A move that was recorded as due and did not happen is made up for.

    Returns:
        Table -> rows written: `verdicts` and `promotions`, each 0 or 1.
    """
    row, written = judged.row, {"verdicts": 0, "promotions": 0}
    if not judged.recorded:
        written["verdicts"] = run.tables.add_rows("verdicts", pd.DataFrame([row]))
    if judged.verdict == "promote":
        moved = move_alias(
            run.tables,
            run.registry,
            run.standing.history,
            row["to_alias"],
            row["candidate"],
            run.parameters.as_of,
            verdict_id=row["verdict_id"],
            actor=actor,
            reason=judged.sentence,
            now=now,
        )
        written["promotions"] = int(moved)
    return written
