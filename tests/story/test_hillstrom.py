"""A real log: imported by its description, valued, learned from, and judged against always-Mens."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from engine.data.sources.log_file import read_log

DAY = dt.date(2026, 3, 2)
MENS = "baseline:fixed:mens_email"
ARMS = {
    "No E-Mail": ("no_contact", 0.1062),
    "Mens E-Mail": ("mens_email", 0.1828),
    "Womens E-Mail": ("womens_email", 0.1514),
}
"""Value in the file: our action, and the share of visits in the real file."""


def made_up(rows: int, seed: int) -> pd.DataFrame:
    """A file like the real one, in small: one of three arms at random, visits by arm."""
    random = np.random.default_rng(seed)
    arm = random.choice(list(ARMS), rows)
    visit = random.random(rows) < pd.Series(arm).map({name: p for name, (_, p) in ARMS.items()})
    conversion = visit & (random.random(rows) < 0.1)
    return pd.DataFrame(
        {
            "recency": random.integers(1, 13, rows),
            "history_segment": random.choice(["1) $0 - $100", "2) $100 - $200"], rows),
            "history": random.gamma(2, 100, rows).round(2),
            "mens": random.integers(0, 2, rows),
            "womens": random.integers(0, 2, rows),
            "zip_code": random.choice(["Rural", "Surburban", "Urban"], rows),
            "newbie": random.integers(0, 2, rows),
            "channel": random.choice(["Phone", "Web", "Multichannel"], rows),
            "segment": arm,
            "visit": visit.astype(int),
            "conversion": conversion.astype(int),
            "spend": np.where(conversion, random.gamma(2, 50, rows).round(2), 0),
        }
    )


@pytest.fixture(scope="module")
def small(new_loop: Any) -> Any:
    """A loop on a made-up file of 1,500 rows, described by a source file of its own."""
    loop = new_loop("small_log", DAY, {}, source="small")
    path = loop.root / "small.csv"
    made_up(1_500, seed=1).to_csv(path, index=False)
    described = yaml.safe_load((loop.conf / "sources" / "hillstrom.yml").read_text())
    described["name"] = "small"
    described["file"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (loop.conf / "sources" / "small.yml").write_text(yaml.safe_dump(described))
    loop.given["source_path"] = str(path)
    for name in ("data_generation", "feature_engineering"):
        loop.stage(name, DAY)
    return loop


@pytest.fixture(scope="module")
def real(new_loop: Any, real_file: Path) -> Any:
    """A loop on the real log, its day fully run."""
    loop = new_loop("real_log", DAY, {}, source="hillstrom", source_path=str(real_file))
    loop.run(DAY)
    return loop


def test_rows_become_decisions_of_numbered_customers(small: Any) -> None:
    """Each row is a customer and a decision of its arm, spread evenly over 14 days; we say so."""
    rows = pd.read_csv(small.given["source_path"])
    decisions = small.frame("decisions")
    said = small.results[DAY, "data_generation"].summary
    assert "1,500 rows" in said
    assert "numbered, and spread over 14 synthetic days from 2026-02-02" in said
    number = decisions["customer_id"].str.slice(1).astype(int)
    assert sorted(number) == list(range(1_500))
    arm = rows["segment"].map({name: action for name, (action, _) in ARMS.items()})
    assert list(decisions["action_id"]) == list(arm.iloc[number])
    day = (decisions["decision_date"] - pd.Timestamp("2026-02-02")).dt.days
    assert list(day) == list(number % 14)
    assert decisions["action_probability"].eq(1 / 3).all()
    assert {name for each in decisions["eligible_actions"] for name in each} == {
        action for action, _ in ARMS.values()
    }


def test_rewards_and_features_are_the_files_own(small: Any) -> None:
    """The reward is the file's column `visit`; features are its columns, unchanged."""
    rows = pd.read_csv(small.given["source_path"])
    rewarded = small.frame("rewarded_decisions")
    there = rows.iloc[rewarded["customer_id"].str.slice(1).astype(int)].reset_index(drop=True)
    assert len(rewarded) == 1_500
    assert list(rewarded["reward"]) == list(there["visit"])
    for name in ("recency", "history", "history_segment", "zip_code", "channel"):
        assert list(rewarded[name]) == list(there[name])


def test_what_the_file_calls_purchases_is_kept(small: Any) -> None:
    """Conversions become purchases with their money, and earn nothing more than declared."""
    rows = pd.read_csv(small.given["source_path"])
    outcomes = small.frame("outcomes", "outcome_type = 'purchase'")
    assert outcomes["amount"].sum() == pytest.approx(rows["spend"].sum())
    assert len(outcomes) == rows["conversion"].sum()


@pytest.mark.slow
def test_a_day_without_a_candidate_ends_well(small: Any) -> None:
    """Where nothing looks as good as always-Mens nothing is registered, and the day goes on."""
    for name in ("model_training", "batch_inference", "monitoring", "promotion"):
        small.stage(name, DAY)
    trained = small.results[DAY, "model_training"]
    assert trained.summary.startswith("nothing registered: the best of ")
    assert small.results[DAY, "promotion"].summary == "none"
    assert small.registry.versions() == []
    assert small.frame("verdicts").empty
    small.stage("model_training", DAY)
    assert "unchanged inputs: no acceptable recipe" in small.results[DAY, "model_training"].summary


@pytest.mark.slow
def test_a_small_log_goes_all_the_way(small: Any) -> None:
    """Fitted, selected and judged on separate days; everybody is decided for; Mens is estimated."""
    path = small.conf / "sources" / "small.yml"
    described = yaml.safe_load(path.read_text())
    described["engine"]["gate"]["margin"] = 0.2  # 1,500 rows tell little apart: try what there is
    path.write_text(yaml.safe_dump(described))
    for name in ("model_training", "batch_inference", "monitoring", "promotion"):
        small.stage(name, DAY)
    assert_judged_apart(small)
    rewarded = small.frame("rewarded_decisions")
    mens = (rewarded["action_id"] == "mens_email").to_numpy()
    values = small.frame("policy_values", f"policy = '{MENS}' AND window = 'all'")
    found = values.set_index("estimator")["value"]
    assert found["ips"] == pytest.approx(3 * (rewarded["reward"] * mens).mean())
    assert found["snips"] == pytest.approx(rewarded["reward"][mens].mean())
    assert small.tables.count("decisions", f"decision_date = DATE '{DAY}'") == 1_500
    before = small.content()
    small.run(DAY)
    assert small.content() == before


@pytest.mark.slow
def test_the_real_arms_have_their_means(real: Any) -> None:
    """Visits per arm are those everybody knows of this log, read through our own tables."""
    means = real.frame("rewarded_decisions").groupby("action_id")["reward"].mean()
    for action, mean in ARMS.values():
        assert means[action] == pytest.approx(mean, abs=0.0005)


@pytest.mark.slow
def test_always_mens_is_worth_its_arms_mean(real: Any) -> None:
    """IPS and SNIPS value the policy that always sends the men's e-mail at .1828."""
    values = real.frame("policy_values", f"policy = '{MENS}' AND window = 'all'")
    found = values.set_index("estimator")
    assert found.loc["ips", "value"] == pytest.approx(0.1828, abs=0.001)
    assert found.loc["snips", "value"] == pytest.approx(0.1828, abs=0.001)
    assert set(found["n"]) == {64_000}


@pytest.mark.slow
def test_the_real_log_is_judged_and_never_promotes(real: Any) -> None:
    """64,000 customers get a decision, days are kept apart, and always-Mens is not beaten."""
    assert real.tables.count("decisions", f"decision_date = DATE '{DAY}'") == 64_000
    assert_judged_apart(real)
    assert real.results[DAY, "promotion"].summary in ("hold", "reject")
    assert "64,000 rows" in real.results[DAY, "data_generation"].summary
    assert "14 synthetic days" in real.results[DAY, "data_generation"].summary


def assert_judged_apart(loop: Any) -> None:
    """Fit days, then select days, then the days of the evidence, which is against always-Mens."""
    client, model = loop.registry.client, loop.registry.model_name
    params = client.get_run(client.get_model_version(model, "1").run_id).data.params
    fit, select = (params[name].split(" to ") for name in ("fit_days", "select_days"))
    evidence = loop.frame("evidence")
    assert fit[0] <= fit[1] < select[0] <= select[1] < str(evidence["decision_date"].min().date())
    assert set(evidence["incumbent"]) == {MENS}
    [verdict] = loop.frame("verdicts").to_dict("records")
    assert verdict["incumbent"] == MENS


@pytest.mark.slow
def test_the_real_file_is_checked(repository: Path, real_file: Path) -> None:
    """The real file has the checksum that its description states."""
    from engine.config import load_config

    source = load_config(repository / "conf", "hillstrom").source
    assert source is not None
    assert len(read_log(source, str(real_file))) == 64_000
