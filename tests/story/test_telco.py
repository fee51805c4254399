"""A company that is YAML and Parquet alone: three days from its files to decisions and verdicts."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import yaml

from engine.data.rewards import read_log
from engine.data.versions import STAMPS
from engine.jobs.doctor import examine
from engine.refs import PolicyRef
from policies import AsDeployed
from tests.story.conftest import changed
from tests.story.telco import ACTIONS, COST, ZONE, Telco
from tests.story.test_faults import everything, stopped_everywhere

pytestmark = pytest.mark.slow
START, HISTORY, CUSTOMERS = dt.date(2026, 3, 9), 30, 800  # 29 March has 23 hours in Madrid
FIRST = START + dt.timedelta(days=HISTORY)
SECOND, THIRD = FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=2)
MEAN_AMOUNT = (5 + 10 + 20) / 3


class Story:
    """The loop of the company, and the company."""

    def __init__(self, new_loop: Any, folder: Path) -> None:
        self.telco = Telco(folder / "data", CUSTOMERS, START, seed=1)
        self.telco.history(HISTORY)
        given = {"source": "telco", "source_path": str(folder / "data")}
        self.loop = new_loop("telco", FIRST, {}, **given)
        self.telco.write_conf(self.loop.conf)
        changed(self.loop.conf, {"sources/telco.yml": {"engine.training": {"reserve_days": 8}}})

    def day(self, day: dt.date) -> None:
        """Run a day; then its customers answer."""
        self.loop.run(day)
        rows = self.loop.frame("decisions", f"decision_date = DATE '{day}'")
        assert len(rows) == CUSTOMERS
        decided = {"msisdn": rows["customer_id"].astype(np.int64), "accion": rows["action_id"]}
        self.telco.answer(pd.DataFrame(decided), day)


@pytest.fixture(scope="module")
def story(new_loop: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The company after its first day."""
    made = Story(new_loop, tmp_path_factory.mktemp("telco"))
    made.day(FIRST)
    return made


def test_the_other_systems_log_trains_and_judges(story: Story) -> None:
    """The verdict promotes, and its interval holds the true difference on the judged rows."""
    loop = story.loop
    [verdict] = loop.frame("verdicts").to_dict("records")
    assert verdict["verdict"] == "promote"
    run = loop.run_of(FIRST)
    log = read_log(run.tables, run.config, run.features, FIRST)
    judged = loop.frame("evidence")["decision_date"].to_numpy().astype("datetime64[D]")
    assert log.contexts is not None
    assert log.decision_date is not None
    log = log[np.isin(log.decision_date, judged)]
    tariff = pd.Series(log.contexts["tarifa"].to_numpy())
    worth = np.column_stack(
        [
            story.telco.chance(pd.Series([action] * len(log)), tariff) * MEAN_AMOUNT - COST[action]
            for action in log.action_ids
        ]
    )
    ours, theirs = (
        AsDeployed(run.standing.policy(PolicyRef.parse(name)), run.config.exploration)
        for name in ("1", "baseline:business_rules")
    )
    difference = ours.distribution(log.contexts, log.eligible) - theirs.distribution(
        log.contexts, log.eligible
    )
    truth = float((difference * worth).sum(axis=1).mean())
    assert truth > 0.3
    assert verdict["low"] < truth < verdict["high"]


def test_rewards_are_the_money_of_the_files(story: Story) -> None:
    """Each reward is the top-ups of two days after the decision, told in time, less the cost."""
    files = (story.telco.folder / "recargas").glob("*.parquet")
    tops = pd.concat([pd.read_parquet(file) for file in files])
    zone, hour = ZoneInfo(ZONE), pd.Timedelta(hours=1)
    for name in ("momento", "cargado"):
        tops[name] = tops[name].dt.tz_localize(zone, nonexistent=hour).dt.tz_convert("UTC")
    tops = tops[tops["cargado"] < pd.Timestamp(FIRST, tz="UTC")]
    tops["customer_id"] = tops["msisdn"].astype(str)
    rows = story.loop.frame("rewarded_decisions", f"matured_on <= DATE '{FIRST}'")
    asked = pd.read_parquet(story.telco.folder / "campanas.parquet")
    moment = asked["momento"].dt.tz_localize(zone).dt.tz_convert("UTC")
    sent = pd.DataFrame({"decision_id": asked["id"], "sent": moment})
    both = rows.merge(sent, on="decision_id").merge(tops, on="customer_id", how="left")
    inside = (both["momento"] >= both["sent"]) & (
        both["momento"] < both["sent"] + pd.Timedelta(days=2)
    )
    earned = both["importe"].where(inside, 0.0).groupby(both["decision_id"]).sum()
    expected = (earned - rows.set_index("decision_id")["action_id"].map(COST)).clip(-0.6, 60.0)
    found = rows.set_index("decision_id")["reward"]
    assert len(found) == CUSTOMERS * (HISTORY - 3)
    pd.testing.assert_series_equal(
        found.sort_index(), expected.sort_index(), check_names=False, check_exact=False
    )


def test_a_second_run_of_the_first_day_changes_nothing(story: Story) -> None:
    """Every table, version and alias stands."""
    before = story.loop.content()
    story.loop.run(FIRST)
    assert story.loop.content() == before


def test_a_late_fact_changes_the_day_that_nobody_has_used(story: Story) -> None:
    """It enters the features of a day without decisions, and none that decisions have read."""
    loop, facts = story.loop, ("data_generation", "feature_engineering")
    for stage in facts:
        loop.stage(stage, SECOND)
    before = loop.frame("customer_features")
    who = str(story.telco.people["msisdn"][5])

    def tell(number: int) -> pd.DataFrame:
        when = pd.Timestamp(FIRST) + pd.Timedelta(hours=15)
        late = {"id": f"late{number}", "msisdn": int(who), "tipo": "llamada", "momento": when}
        row = {**late, "importe": np.nan, "minutos": 100.0, "cargado": when}
        path = story.telco.folder / "uso" / f"late{number}.parquet"
        pd.DataFrame([row]).to_parquet(path, index=False)
        for stage in facts:
            loop.stage(stage, SECOND)
        return loop.frame("customer_features")

    after = tell(1)
    differs = (before != after) & ~(before.isna() & after.isna())
    [row] = np.flatnonzero(differs.any(axis=1))
    assert after["customer_id"][row] == who
    assert after["feature_ts"][row].date() == SECOND
    assert after["minutos_28d"][row] == pytest.approx(before["minutos_28d"][row] + 100)
    loop.stage("model_training", SECOND)
    loop.stage("batch_inference", SECOND)
    pd.testing.assert_frame_equal(tell(2), after)


def test_the_days_go_on(story: Story) -> None:
    """On later days customers answer the engine's own decisions, and those rows are judged, too."""
    story.day(SECOND)
    story.day(THIRD)
    loop = story.loop
    assert loop.registry.alias("staging") is not None
    rows = loop.frame("decisions", f"decision_date >= DATE '{FIRST}'")
    assert set(rows["action_id"]) == set(ACTIONS)
    assert (rows.loc[rows["group"] == "holdout", "action_id"] == "nada").all()
    assert loop.frame("quarantine").empty
    broken = [each for each in examine(loop.run_of(THIRD), fix=False) if each.state == "FAILED"]
    assert broken == []


def facts_of_two_days(new_loop: Any, folder: Path, stopped: bool) -> dict[str, Any]:
    """What stands after data and features of a small company's first day and a day of corrections.

    Args:
        new_loop, folder: where.
        stopped: whether each stage is stopped once at each of its writes.
    """
    telco = Telco(folder / "data", 150, START, seed=2)
    telco.history(12)
    first = START + dt.timedelta(days=12)
    given = {"source": "telco", "source_path": str(folder / "data")}
    loop = new_loop("telco_faults", first, {}, **given)
    telco.write_conf(loop.conf)
    changed(loop.conf, {"sources/telco.yml": {"quarantine_limit": 0.5}})

    def run(day: dt.date) -> None:
        for stage in ("data_generation", "feature_engineering"):
            if stopped:
                assert stopped_everywhere(loop, stage, day)
            else:
                loop.stage(stage, day)

    run(first)
    told = pd.Timestamp(first) + pd.Timedelta(hours=5)
    for name, column in {"uso": "minutos", "recargas": "importe"}.items():
        rows = pd.read_parquet(telco.folder / name / f"{START}.parquet").head(20)
        rows = rows.assign(**{"cargado": told, column: rows[column] + 1})
        rows.loc[rows.index[:2], "tipo"] = None
        rows.to_parquet(telco.folder / name / "corrections.parquet", index=False)
    moved = telco.people.head(9).assign(tarifa="otra", modificado=told)
    moved.to_parquet(telco.folder / "abonados" / "cambios.parquet", index=False)
    run(first + dt.timedelta(days=1))
    found = everything(loop)
    assert {"quarantine", *(f"superseded_{name}" for name in STAMPS)} <= found.keys()
    for table in ("quarantine", *(f"superseded_{name}" for name in STAMPS)):
        assert len(loop.frame(table)) >= 4
    return found


def test_facts_stopped_at_any_write_are_completed(new_loop: Any, tmp_path: Path) -> None:
    """Corrections, quarantine and features end as those of a run that nobody stopped."""
    calm = facts_of_two_days(new_loop, tmp_path / "calm", stopped=False)
    assert facts_of_two_days(new_loop, tmp_path / "stopped", stopped=True) == calm


def test_a_company_without_a_log_decides_by_its_rules(new_loop: Any, tmp_path: Path) -> None:
    """Until enough days have matured training says how many there are, and every stage succeeds."""
    telco = Telco(tmp_path / "data", 150, START, seed=3)
    telco.history(5)
    first = START + dt.timedelta(days=5)
    given = {"source": "telco", "source_path": str(tmp_path / "data")}
    loop = new_loop("telco_new", first, {}, **given)
    telco.write_conf(loop.conf)
    source = loop.conf / "sources" / "telco.yml"
    tables = yaml.safe_load(source.read_text())["tables"]
    changed(
        loop.conf,
        {"sources/telco.yml": {"tables": {**tables, "decisions": None}}},
    )
    results = loop.run(first)
    assert results["model_training"].summary.startswith("nothing trained yet: no decision has")
    assert "nothing to measure drift against" in results["monitoring"].summary
    decided = loop.frame("decisions")
    assert set(decided["model_name"]) == {"baseline:business_rules"}
    assert set(decided["group"]) == {"policy", "uniform", "holdout"}
    page = Path(results["promotion"].closing[1].removeprefix("Report: ")).read_text()
    assert "No decision has matured yet." in page
    assert "nan" not in page
    later = loop.run(first + dt.timedelta(days=5))
    assert "the log has 1 matured days" in later["model_training"].summary
