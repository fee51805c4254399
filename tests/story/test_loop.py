"""The day's loop on real parts: what each table holds, a second run, and the day after."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from engine.data.tables import TABLES
from engine.errors import JobError, SourceError
from engine.monitoring.health import LOG
from engine.promotion.moves import AliasMove, move_alias
from policies import Gate
from policies.deciding.decision import REASONS
from policies.deciding.groups import GROUPS, Groups, assign_groups
from policies.sequences.days import DaySums
from simulation import FEATURES, Day

RULES = "baseline:business_rules"
# DESIGN 4.3: what others rely on.
COLUMNS = {
    "customers": "customer_id",
    "events": "event_id customer_id event_ts event_type amount",
    "customer_features": "customer_id feature_ts",
    "decisions": "decision_id decision_date decision_ts customer_id group action_id channel "
    "action_probability chosen_expected_reward eligible_actions distribution blocked_actions "
    "reason_code model_name model_version catalogue_hash feature_hash run_id",
    "outcomes": "outcome_id decision_id customer_id outcome_type outcome_ts received_ts amount",
    "rewarded_decisions": "decision_id decision_date customer_id group action_id "
    "action_probability eligible_actions reward matured_on",
    "policy_values": "as_of policy estimator window segment value std_error low high n n_choice "
    "effective_n max_weight mean_weight",
    "evidence": "lineage incumbent decision_date n n_choice total square centre low_bound "
    "high_bound candidate_hash incumbent_hash",
    "drift": "as_of subject metric value threshold status",
    "verdicts": "verdict_id as_of model_name to_alias candidate incumbent verdict difference low "
    "high alpha rules log_hash",
    "promotions": "moved_at as_of model_name alias from_version to_version verdict_id actor reason",
}


@pytest.fixture(scope="module")
def config(loop: Any) -> Any:
    """What the loop runs with."""
    return loop.run_of(loop.first).config


@pytest.fixture(scope="module")
def past(loop: Any, config: Any) -> list[Day]:
    """The simulator's own account of the days before the first."""
    shares, days = config.engine.groups, config.source.history_days
    start = str(loop.first - dt.timedelta(days=days))
    groups = Groups(uniform=shares.uniform, holdout=shares.holdout)
    floor = config.engine.exploration.floor
    return list(loop.world.run(days, start, floor=floor, groups=groups))


@pytest.fixture(scope="module")
def decisions(loop: Any) -> pd.DataFrame:
    """All decisions up to the first day, in the order of their ids."""
    return loop.frame("decisions", f"decision_date <= DATE '{loop.first}'")


def dense(column: pd.Series, ids: tuple[str, ...]) -> np.ndarray:
    """Lists of ids, or pairs (id, value), as an (n, k) array."""
    out = np.zeros((len(column), len(ids)))
    for row, entries in enumerate(column):
        for entry in entries:
            name, value = (entry, 1.0) if isinstance(entry, str) else entry
            out[row, ids.index(name)] = value
    return out


def days_of(column: pd.Series) -> list[dt.date]:
    """The days in a column, sorted."""
    return sorted(pd.to_datetime(column).dt.date.unique())


@pytest.mark.parametrize("table", COLUMNS)
def test_tables_keep_their_contract(loop: Any, table: str) -> None:
    """Every table has the columns that others rely on, and its key is unique and never null."""
    rows = loop.frame(table)
    assert set(COLUMNS[table].split()) <= set(rows.columns)
    assert len(rows)
    keys = list(TABLES[table].keys)
    assert not rows[keys].isna().any(axis=None)
    assert not rows.duplicated(keys).any()


def test_sources_bring_consents_and_features(loop: Any, config: Any) -> None:
    """Customers say which channels may be used; features have one column each."""
    channels = {f"consent_{each}" for each in config.catalogue.contact_channels}
    assert channels <= set(loop.frame("customers").columns)
    assert set(FEATURES) <= set(loop.frame("customer_features").columns)
    assert set(FEATURES) <= set(loop.frame("rewarded_decisions").columns)


def test_what_is_logged_is_what_was_drawn_from(
    loop: Any, config: Any, decisions: pd.DataFrame
) -> None:
    """Distributions sum to 1 on eligible actions, keep the floor, and hold the probability."""
    ids = config.catalogue.action_ids
    distribution, eligible = (
        dense(decisions[name], ids) for name in ("distribution", "eligible_actions")
    )
    action = decisions["action_id"].map(ids.index).to_numpy()
    rows = np.arange(len(decisions))
    np.testing.assert_allclose(distribution.sum(axis=1), 1)
    assert (distribution[eligible == 0] == 0).all()
    np.testing.assert_array_equal(distribution[rows, action], decisions["action_probability"])
    choice = (eligible.sum(axis=1) > 1) & (decisions["group"] != "holdout").to_numpy()
    assert choice.sum() > len(decisions) / 2
    least = distribution[choice][eligible[choice] > 0].min()
    assert least >= config.engine.exploration.floor - 1e-12
    forced = eligible.sum(axis=1) == 1
    assert (decisions["action_probability"][forced] == 1).all()


def test_every_action_is_eligible_or_blocked_by_a_rule(
    config: Any, decisions: pd.DataFrame
) -> None:
    """Eligible and blocked actions are together all actions, and no contact is never blocked."""
    ids = set(config.catalogue.action_ids)
    for eligible, blocked in zip(decisions["eligible_actions"], decisions["blocked_actions"]):
        names = [name for name, _ in blocked]
        assert set(eligible) | set(names) == ids
        assert len(eligible) + len(names) == len(ids)
        assert "no_contact" in eligible
    rules = {rule for blocked in decisions["blocked_actions"] for _, rule in blocked}
    assert rules == {"no_consent", "not_eligible", "not_applicable", "not_suitable"}


def test_groups_are_coins_of_the_configured_shares(config: Any, decisions: pd.DataFrame) -> None:
    """Groups come in their shares; holdout is sticky and is never contacted."""
    shares = decisions["group"].value_counts(normalize=True)
    expected = config.engine.groups
    customers = decisions["customer_id"].nunique()
    assert set(shares.index) == {"policy", "uniform", "holdout"}
    sticky = 4 * np.sqrt(expected.holdout * (1 - expected.holdout) / customers)
    assert shares["holdout"] == pytest.approx(expected.holdout, abs=sticky)
    assert shares["uniform"] / (1 - shares["holdout"]) == pytest.approx(expected.uniform, abs=0.02)
    held = decisions[decisions["group"] == "holdout"]
    assert set(held["action_id"]) == {"no_contact"}
    assert (held["action_probability"] == 1).all()
    assert (
        decisions.groupby("customer_id")["group"]
        .agg(lambda each: (each == "holdout").mean())[held["customer_id"].unique()]
        .eq(1)
        .all()
    )


def test_reasons_are_a_closed_set(decisions: pd.DataFrame) -> None:
    """Every decision has one of the agreed reasons, and the reason agrees with its group."""
    assert set(decisions["reason_code"]) <= set(REASONS)
    assert len(set(decisions["reason_code"])) >= 4
    for group, reason in (("uniform", "control_uniform"), ("holdout", "holdout")):
        assert ((decisions["group"] == group) == (decisions["reason_code"] == reason)).all()


def test_the_day_is_decided_once_for_everyone(
    loop: Any, config: Any, decisions: pd.DataFrame
) -> None:
    """On the first day every customer gets one decision by the business rules, at 08:00 UTC."""
    today = decisions[decisions["decision_date"] == pd.Timestamp(loop.first)]
    assert set(today["customer_id"]) == set(loop.world.customers.customer_id)
    assert not today.duplicated("customer_id").any()
    assert set(today["decision_ts"]) == {pd.Timestamp(f"{loop.first} 08:00", tz="UTC")}
    assert set(today["model_name"]) == {RULES}
    assert set(today["catalogue_hash"]) == {config.catalogue.hash}
    assert today["feature_hash"].str.fullmatch("[0-9a-f]{12}").all()


def test_rewards_have_matured_and_belong_to_judged_groups(
    loop: Any, config: Any, decisions: pd.DataFrame
) -> None:
    """Exactly the decisions of policy and uniform whose window has closed are rewarded."""
    rewarded = loop.frame("rewarded_decisions", f"matured_on <= DATE '{loop.first}'")
    closed = pd.Timestamp(loop.first) - pd.Timedelta(days=config.engine.reward.matured_after_days)
    due = decisions[
        decisions["group"].isin(["policy", "uniform"]) & (decisions["decision_date"] <= closed)
    ]
    assert list(rewarded["decision_id"]) == list(due["decision_id"])
    assert (rewarded["matured_on"] <= pd.Timestamp(loop.first)).all()


def test_rewards_by_hand(loop: Any, config: Any) -> None:
    """A reward is a visit's value within 24 hours of the decision, less the action's cost."""
    rewarded = loop.frame("rewarded_decisions", f"matured_on <= DATE '{loop.first}'")
    taken = loop.frame("decisions")[["decision_id", "decision_ts"]]
    outcomes = loop.frame("outcomes", "outcome_type = 'visit'")
    pairs = (
        rewarded[["decision_id", "customer_id"]]
        .merge(taken)
        .merge(outcomes[["customer_id", "outcome_ts"]], on="customer_id")
    )
    late = pairs["outcome_ts"] - pairs["decision_ts"]
    inside = (late >= pd.Timedelta(0)) & (late < pd.Timedelta(days=1))
    visits = pairs[inside].groupby("decision_id").size()
    costs = dict(zip(config.catalogue.action_ids, config.catalogue.costs))
    value = config.engine.reward.outcomes["visit"]
    earned = rewarded["decision_id"].map(visits).fillna(0) * value
    by_hand = (earned - rewarded["action_id"].map(costs)).clip(*config.engine.reward.range)
    assert visits.sum() > 100
    np.testing.assert_allclose(rewarded["reward"], by_hand, atol=1e-12)


def assert_same_features(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal in every value and every null, of as many kinds as the simulator shows."""
    for name in FEATURES:
        left, right = found[name], expected[name]
        assert (left.isna().to_numpy() == right.isna().to_numpy()).all(), name
        known = right.notna().to_numpy()
        if right.dtype == object:
            assert (left[known].to_numpy() == right[known].to_numpy()).all(), name
        else:
            np.testing.assert_allclose(
                left[known].astype(float), right[known].astype(float), atol=1e-9, err_msg=name
            )


def test_features_are_the_simulators_own(loop: Any, past: list[Day]) -> None:
    """Features made by Spark from facts equal the contexts in which the simulator decided."""
    shown = loop.frame("customer_features", f"feature_ts < TIMESTAMP '{loop.first}'")
    for day in past:
        here = shown[shown["feature_ts"] == pd.Timestamp(day.date, tz="UTC")]
        asked = here.set_index("customer_id").loc[day.contexts["customer_id"]]
        assert_same_features(asked.reset_index(drop=True), day.contexts)
    assert shown[list(FEATURES)].isna().any().sum() >= 4  # nulls are compared, too


def test_rewarded_decisions_carry_the_contexts_of_their_day(loop: Any, past: list[Day]) -> None:
    """What learning reads beside a reward is what was known at the decision, not later."""
    rewarded = loop.frame("rewarded_decisions", f"matured_on <= DATE '{loop.first}'")
    contexts = pd.concat([day.contexts.assign(decision_date=day.date) for day in past])
    keys = ["customer_id", "decision_date"]
    contexts["decision_date"] = contexts["decision_date"].astype(rewarded["decision_date"].dtype)
    expected = rewarded[keys].merge(contexts, on=keys, how="left", validate="one_to_one")
    assert_same_features(rewarded, expected)


def test_past_decisions_are_those_the_world_made(past: list[Day], decisions: pd.DataFrame) -> None:
    """The imported past holds the simulator's own draws with their probabilities."""
    for day in past:
        here = decisions[decisions["decision_date"] == pd.Timestamp(day.date)]
        here = here.set_index("customer_id").loc[day.contexts["customer_id"]]
        np.testing.assert_array_equal(here["action_probability"], day.decisions.action_probability)
        assert list(here["group"]) == [GROUPS[each] for each in day.decisions.group]


def test_values_come_by_four_estimators_with_diagnostics(loop: Any) -> None:
    """Baselines are valued on all days, learned versions only on days they have not seen."""
    values = loop.frame("policy_values", f"as_of = DATE '{loop.first}'")
    for _, rows in values.groupby(["policy", "window"]):
        assert set(rows["estimator"]) == {"ips", "snips", "dm", "dr"}
    learned = values[~values["policy"].str.startswith("baseline:")]
    assert set(learned["policy"]) == {f"{loop.registry.model_name}:1"}
    assert set(learned["window"]) == {"unseen"}
    assert RULES in set(values.loc[values["window"] == "all", "policy"])
    assert ((values["low"] <= values["value"]) & (values["value"] <= values["high"])).all()
    assert (values["n_choice"] <= values["n"]).all()
    # The logger's own policy is what it mostly did, so its estimates are close to the mean reward.
    log = loop.frame("rewarded_decisions", f"matured_on <= DATE '{loop.first}'")
    own = values[(values["policy"] == RULES) & (values["window"] == "all")]
    assert (np.abs(own["value"] - log["reward"].mean()) < 0.03).all()


def test_evidence_covers_the_days_nobody_learned_from(loop: Any, config: Any) -> None:
    """Day sums exist for exactly the matured days from the candidate's trained_through on."""
    evidence = loop.frame("evidence", f"frozen_as_of <= DATE '{loop.first}'")
    version = loop.registry.version("1")
    rewarded = loop.frame("rewarded_decisions", f"matured_on <= DATE '{loop.first}'")
    matured = days_of(rewarded["decision_date"])
    fixed = dt.date.fromisoformat(version.tags["trained_through"])
    assert days_of(evidence["decision_date"]) == [day for day in matured if day >= fixed]
    assert len(evidence) == config.engine.training.reserve_days
    counts = rewarded.groupby("decision_date").size()
    assert list(evidence["n"]) == list(counts[evidence["decision_date"]])
    assert set(evidence["incumbent"]) == {RULES}
    assert set(evidence["lineage"]) == {version.tags["lineage"]}


def test_what_a_version_learned_had_matured_before_it_is_judged(loop: Any, config: Any) -> None:
    """The last day that fitted or selected had matured by the first day that judges."""
    run = loop.run_of(loop.first)
    found = run.registry.client.get_model_version(run.registry.model_name, "1")
    params = run.registry.client.get_run(found.run_id).data.params
    last = dt.date.fromisoformat(params["select_days"].split(" to ")[1])
    assert params["fit_days"].split(" to ")[1] < params["select_days"].split(" to ")[0]
    judged = dt.date.fromisoformat(found.tags["trained_through"])
    assert last + dt.timedelta(days=config.engine.reward.matured_after_days) <= judged


def test_the_verdict_is_the_gates(loop: Any, config: Any) -> None:
    """The verdict on record is what the gate says about the evidence on record."""
    [verdict] = loop.frame("verdicts", f"as_of = DATE '{loop.first}'").to_dict("records")
    evidence = loop.frame("evidence", f"frozen_as_of <= DATE '{loop.first}'")
    settings = config.engine.gate
    gate = Gate(settings.alpha, settings.margin, settings.minimum_effect)
    health = loop.frame("drift", f"as_of = DATE '{loop.first}' AND subject = '{LOG}'")
    problems = list(health.loc[health["status"] == "broken", "reason"])
    days = [DaySums.from_dict(row) for row in evidence.to_dict("records")]
    judged = gate.judge(days, "staging", problems=problems)
    assert verdict["verdict"] == judged.verdict
    for name in ("difference", "low", "high", "alpha"):
        assert verdict[name] == pytest.approx(getattr(judged, name), rel=1e-12)
    assert json.loads(verdict["rules"]) == judged.rules
    assert (verdict["candidate"], verdict["incumbent"]) == ("1", RULES)
    assert loop.results[loop.first, "promotion"].summary == judged.verdict


def test_aliases_move_by_record_only(loop: Any) -> None:
    """Training records its move of @candidate; staging and champion move on promote alone."""
    moves = loop.frame("promotions", f"as_of = DATE '{loop.first}' AND actor <> 'test'")
    verdict = loop.results[loop.first, "promotion"].summary
    expected = {("candidate", "1")} | ({("staging", "1")} if verdict == "promote" else set())
    assert {(row["alias"], row["to_version"]) for row in moves.to_dict("records")} == expected


def test_the_logged_model_states_its_outputs(loop: Any) -> None:
    """The registered model has a signature with inputs and outputs, as Unity Catalog asks."""
    run = loop.run_of(loop.first)
    _ = run.registry.client
    info = mlflow.models.get_model_info(f"models:/{run.registry.model_name}/1")
    assert {"action", "action_probability"} <= set(info.signature.outputs.input_names())
    assert set(FEATURES) | {"eligible_actions"} == set(info.signature.inputs.input_names())


def test_the_report_is_written(loop: Any) -> None:
    """The last stage names the page it wrote, which needs nothing beside itself."""
    said = loop.results[loop.first, "promotion"].closing
    [line] = [each for each in said if each.startswith("Report: ")]
    page = (loop.root / "volume").rglob("*.html")
    assert line[len("Report: ") :] in {str(each) for each in page}


def test_monitoring_without_a_batch_fails_and_writes_nothing(loop: Any) -> None:
    """A day without decisions is an error that says which job to run, and leaves all as it was."""
    before = loop.content()
    with pytest.raises(JobError, match="inference_job with as_of=2026-03-20"):
        loop.stage("monitoring", dt.date(2026, 3, 20))
    assert loop.content() == before


def test_a_mistyped_year_is_refused(loop: Any) -> None:
    """A day decades after the last one is refused at once, and leaves all as it was."""
    before = loop.content()
    with pytest.raises(SourceError, match="the last day in these tables is 2026-03-0"):
        loop.stage("data_generation", dt.date(2062, 3, 2))
    assert loop.content() == before


def test_a_second_run_changes_nothing(loop: Any) -> None:
    """Every stage run again for the same day leaves tables, versions and aliases as they are."""
    before = loop.content()
    loop.run(loop.first)
    assert loop.content() == before


class Next:
    """The second day, and what stood before it.

    The candidate was made champion on the first day, so it decides on the second.
    """

    def __init__(self, loop: Any) -> None:
        run = loop.run_of(loop.first)
        self.verdict = loop.results[loop.first, "promotion"].summary
        move = AliasMove(loop.first, "champion", "1", "test", "to see the next day follow")
        now = dt.datetime.now(dt.timezone.utc)
        move_alias(run.tables, run.registry, run.standing.history, move, now)
        self.live = run.registry.alias("champion")
        self.features = loop.frame("customer_features")
        self.rewarded = loop.frame("rewarded_decisions")
        self.evidence = loop.frame("evidence")
        self.decisions = loop.frame("decisions")
        loop.run(loop.second)


@pytest.fixture(scope="module")
def following(loop: Any) -> Iterator[Next]:
    """The day after a promotion to champion."""
    return Next(loop)


def test_an_alias_takes_effect_the_next_day(loop: Any, following: Next) -> None:
    """The champion of yesterday's move decides today, and a share stays with the one before."""
    today = loop.frame("decisions", f"decision_date = DATE '{loop.second}'")
    assert following.live == "1"
    assert set(today["model_version"]) == {"1"}
    assert set(today["model_name"]) == {loop.registry.model_name}
    shares = loop.run_of(loop.second).config.engine.groups
    groups = Groups(shares.uniform, shares.holdout, shares.previous)
    coins = assign_groups(today["customer_id"].to_numpy(), str(loop.second), groups)
    assert list(today["group"]) == [GROUPS[each] for each in coins]
    old = today["group"] == "previous"
    assert 0.01 < old.mean() < 0.1
    assert set(today["reason_code"][old]) == {"previous"}
    # The old champion, business rules, expects nothing; the learned one says what it expects.
    assert today["chosen_expected_reward"][old].isna().all()
    assert today["chosen_expected_reward"][~old].notna().all()


def test_the_day_of_the_move_keeps_its_decisions(loop: Any, following: Next) -> None:
    """Inference run again for the day of a move decides as it did, by the champion of then."""
    result = loop.stage("batch_inference", loop.first)
    assert result.summary.startswith("as decided before")
    again = loop.frame("decisions", f"decision_date <= DATE '{loop.first}'")
    pd.testing.assert_frame_equal(again, following.decisions)


def test_the_world_answers_yesterdays_decisions(loop: Any, following: Next) -> None:
    """Events and outcomes of the first day are what customers do after what we really decided."""
    taken = loop.frame("decisions", f"decision_date = DATE '{loop.first}'")
    shown = loop.frame("customer_features", f"feature_ts = TIMESTAMP '{loop.first}'")
    asked = taken.merge(shown[["customer_id", "contacts_7d"]], on="customer_id")
    events, outcomes = loop.world.answer(asked)
    assert len(events) > 20
    where = "to_date({}) = DATE '{}'".format
    found = loop.frame("events", where("event_ts", loop.first))
    assert list(found["event_id"]) == sorted(events["event_id"])
    told = loop.frame("outcomes", where("outcome_ts", loop.first))
    known = outcomes[outcomes["received_ts"] < pd.Timestamp(loop.second)]
    assert list(told["outcome_id"]) == sorted(known["outcome_id"])
    assert 0 < len(told) < len(outcomes)
    by_id = known.sort_values("outcome_id")["decision_id"]
    assert [each or None for each in told["decision_id"]] == list(by_id)
    # Had we left everybody alone, they would have answered otherwise.
    alone, _ = loop.world.answer(asked.assign(action_id="no_contact"))
    assert set(alone["event_id"]) != set(found["event_id"])


def test_rewards_grow_by_what_matured_today(loop: Any, following: Next) -> None:
    """Rewarded rows of before stay; new ones matured on the second day, and all of one date."""
    now = loop.frame("rewarded_decisions")
    old = now["decision_id"].isin(following.rewarded["decision_id"])
    pd.testing.assert_frame_equal(now[old].reset_index(drop=True), following.rewarded)
    assert days_of(now.loc[~old, "matured_on"]) == [loop.second]
    assert len(days_of(now.loc[~old, "decision_date"])) == 1


def test_features_that_a_decision_used_never_change(loop: Any, following: Next) -> None:
    """The second day adds its own feature rows and leaves those of earlier days."""
    now = loop.frame("customer_features")
    old = now["feature_ts"] < pd.Timestamp(loop.second, tz="UTC")
    pd.testing.assert_frame_equal(now[old].reset_index(drop=True), following.features)
    assert days_of(now.loc[~old, "feature_ts"]) == [loop.second]


def test_evidence_is_frozen_and_starts_anew_against_a_new_incumbent(
    loop: Any, following: Next
) -> None:
    """Day sums stay as they were; against the new champion a sequence of their own begins."""
    now = loop.frame("evidence")
    old = now["frozen_as_of"] < pd.Timestamp(loop.second)
    pd.testing.assert_frame_equal(now[old].reset_index(drop=True), following.evidence)
    assert set(now.loc[~old, "incumbent"]) == {"1"}
    assert set(now.loc[~old, "lineage"]) == set(following.evidence["lineage"])
    same = now[~old & (now["candidate"] == "1")]
    assert (same["n_differing"] == 0).all()
    assert (same["total"] == 0).all()
    assert loop.results[loop.second, "promotion"].summary in ("hold", "promote")


def test_the_next_training_goes_on_with_the_lineage(loop: Any, following: Next) -> None:
    """A recipe on trial is trained on with one more day, and its version follows the first."""
    versions = loop.content()["versions"]
    assert set(versions) == {"1", "2"}
    assert versions["2"]["lineage"] == versions["1"]["lineage"]
    assert versions["2"]["trained_through"] > versions["1"]["trained_through"]
    assert loop.content()["aliases"]["candidate"] == "2"


@pytest.mark.slow
def test_a_past_day_run_again_sees_what_it_saw(loop: Any, following: Next) -> None:
    """The first day, run again after the second, changes nothing; nor does the second again."""
    before = loop.content()
    loop.run(loop.first)
    loop.run(loop.second)
    assert loop.content() == before
