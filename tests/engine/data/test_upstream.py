"""A company's own tables: mapped, typed, kept to the contract, taken in as far as they are known."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any, Callable, Optional

import pandas as pd
import pytest
import yaml

from engine.config import load_config
from engine.data.sources.facts import Facts, take_in
from engine.data.sources.upstream import Upstream
from engine.data.tables import Tables
from engine.data.versions import all_versions, known_at
from engine.errors import NbaError, SourceError
from engine.parameters import Parameters
from engine.source_definitions import TablesSource

DAY = dt.date(2026, 3, 10)
CUSTOMERS = "id,plan,mail\n1,a,yes\n2,b,no\n"
EVENTS = (
    "id,who,at,what,eur,told\n"
    "e1,1,2026-03-08 10:00:00,buy,5.5,2026-03-08 11:00:00\n"
    "e2,2,2026-03-09 23:30:00,buy,7,2026-03-09 23:40:00\n"
)
OUTCOMES = "id,who,what,at,eur\no1,1,buy,2026-03-08 10:00:00,5.5\n"
DECISIONS = "id,who,at,arm,p\nd1,1,2026-03-08 08:00:00,mail,0.5\nd2,2,2026-03-08 08:00:00,none,1\n"
SOURCE: dict[str, Any] = {
    "name": "shop",
    "kind": "tables",
    "tables": {
        "customers": {
            "from": "customers.csv",
            "columns": {"customer_id": "id", "consent_mail": "mail"},
        },
        "events": {
            "from": "events.csv",
            "columns": {
                **{"event_id": "id", "customer_id": "who", "event_ts": "at"},
                **{"event_type": "what", "amount": "eur"},
            },
            "received": "told",
        },
        "outcomes": {
            "from": "outcomes.csv",
            "columns": {
                **{"outcome_id": "id", "customer_id": "who", "outcome_type": "what"},
                **{"outcome_ts": "at", "amount": "eur"},
            },
        },
        "decisions": {
            "from": "decisions.csv",
            "columns": {
                **{"decision_id": "id", "customer_id": "who", "decision_ts": "at"},
                **{"action_id": "arm", "action_probability": "p"},
            },
        },
    },
    "features": "shop_features.yml",
    "actions": "shop_actions.yml",
    "engine": {
        "reward": {"outcomes": {"buy": "amount"}, "range": [-0.1, 100.0]},
        "business_rules": [{"when": "TRUE", "action": "none"}],
        "gate": {"margin": 0.1},
    },
}
FEATURES = "features:\n  plan: {attribute: plan, type: string}\n  buys: {count: buy, days: 7}\n"
ACTIONS = (
    "currency: EUR\nno_contact: none\nactions:\n"
    "  - {id: none, name: Nothing, group: none}\n"
    "  - {id: mail, name: Mail, group: offer, channel: mail, cost: 0.1}\n"
)


class Shop:
    """A company in a folder of files, and the tables that it is taken into."""

    def __init__(self, folder: Path, conf: Path, tables: Tables) -> None:
        self.folder, self.conf, self.tables = folder, conf, tables
        self.source: dict[str, Any] = json.loads(json.dumps(SOURCE))
        for name, text in {
            "customers": CUSTOMERS,
            "events": EVENTS,
            "outcomes": OUTCOMES,
            "decisions": DECISIONS,
        }.items():
            (folder / f"{name}.csv").write_text(text)

    def write(self, name: str, content: Any) -> None:
        """A file of the company."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def fetch(self, day: dt.date = DAY) -> Facts:
        """The facts of a day; within `staging`."""
        (self.conf / "sources" / "shop.yml").write_text(yaml.safe_dump(self.source))
        config = load_config(self.conf, "shop")
        assert isinstance(config.source, TablesSource)
        values = {**dict.fromkeys(Parameters.names(), "x"), "experiment": "/x"}
        values.update(as_of=str(day), source_path=str(self.folder))
        [facts] = Upstream(config, config.source).fetch(Parameters.parse(values), self.tables)
        return facts

    def take(self, day: dt.date = DAY) -> Facts:
        """Take a day's facts into the tables, as the stage does."""
        tables = self.tables
        with tables.staging():
            facts = self.fetch(day)
            take_in(tables, facts, {})
        stage = pd.DataFrame([{"as_of": day, "stage": "data_generation", "completed_at": None}])
        tables.add_rows("completed_stages", stage)
        return facts

    def frame(self, table: str, key: Optional[str] = None) -> pd.DataFrame:
        """A table, by its key; empty where there is none."""
        if not self.tables.exists(table):
            return pd.DataFrame()
        rows = self.tables.read(table).toPandas()
        return rows.set_index(key).sort_index() if key else rows


@pytest.fixture
def shop(spark: Any, tmp_path: Path, repository: Path) -> Any:
    """The company, with nothing taken in yet."""
    conf = tmp_path / "conf"
    (conf / "sources").mkdir(parents=True)
    (conf / "engine.yml").write_text((repository / "conf" / "engine.yml").read_text())
    (conf / "sources" / "shop_features.yml").write_text(FEATURES)
    (conf / "sources" / "shop_actions.yml").write_text(ACTIONS)
    (tmp_path / "data").mkdir()
    yield Shop(tmp_path / "data", conf, Tables(spark, "juan_dev", "shop_test", tmp_path / "volume"))
    spark.sql("DROP SCHEMA IF EXISTS juan_dev.shop_test CASCADE")


def test_rows_come_in_the_engines_columns_and_types(shop: Shop) -> None:
    """Names are mapped, texts are typed, and a decision without a list was among what consents allow."""
    shop.take()
    customers = shop.frame("customers", "customer_id")
    assert list(customers["plan"]) == ["a", "b"]
    assert list(customers["consent_mail"]) == [True, False]
    events = shop.frame("events", "event_id")
    assert list(events["amount"]) == [5.5, 7.0]
    assert events.loc["e2", "event_ts"] == pd.Timestamp("2026-03-09 23:30")
    decisions = shop.frame("decisions", "decision_id")
    assert list(decisions["eligible_actions"].map(list)) == [["mail", "none"], ["none"]]
    assert list(decisions["channel"]) == ["mail", "none"]
    assert list(decisions["distribution"].map(dict)) == [{"mail": 0.5, "none": 0.5}, {"none": 1.0}]
    assert list(decisions["group"]) == ["policy", "policy"]
    assert decisions.loc["d1", "decision_date"] == dt.date(2026, 3, 8)
    assert shop.frame("quarantine").empty


@pytest.mark.slow
def test_a_second_time_changes_nothing(shop: Shop) -> None:
    """The same files of the same day give the same tables."""
    shop.take()
    names = ("customers", "events", "outcomes", "decisions", "superseded_events")
    before = {name: shop.frame(name) for name in names}
    shop.take()
    for name, rows in before.items():
        pd.testing.assert_frame_equal(shop.frame(name), rows)


@pytest.mark.slow
def test_what_is_told_later_is_not_known_yet(shop: Shop) -> None:
    """A row that the source told of at or after 00:00 of the day comes with a later day."""
    late = "e3,1,2026-03-09 08:00:00,buy,9,2026-03-10 00:00:00\n"
    shop.write("events.csv", EVENTS + late)
    shop.take()
    assert "e3" not in shop.frame("events", "event_id").index
    shop.take(DAY + dt.timedelta(days=1))
    assert shop.frame("events", "event_id").loc["e3", "amount"] == 9


def test_a_correction_keeps_what_was_known_before(shop: Shop) -> None:
    """The table has the newest version; the earlier one is known for the days before it."""
    shop.take()
    shop.write(
        "events.csv",
        EVENTS + "e1,1,2026-03-08 10:00:00,buy,6.5,2026-03-10 09:00:00\n",
    )
    later = DAY + dt.timedelta(days=1)
    shop.take(later)
    assert shop.frame("events", "event_id").loc["e1", "amount"] == 6.5
    for day, amount in ((DAY, 5.5), (later, 6.5)):
        known = known_at(shop.tables, "events", day).toPandas().set_index("event_id")
        assert known.loc["e1", "amount"] == amount
    versions = all_versions(shop.tables, "events").toPandas()
    assert sorted(versions.loc[versions["event_id"] == "e1", "amount"]) == [5.5, 6.5]


@pytest.mark.slow
def test_a_delivery_of_the_same_again_is_no_correction(shop: Shop) -> None:
    """A row told of twice with equal content is known from the first time on."""
    again = EVENTS.splitlines()[1].replace("2026-03-08 11:00:00", "2026-03-09 11:00:00")
    shop.write("events.csv", EVENTS + again + "\n")
    shop.take()
    assert shop.frame("events", "event_id").loc["e1", "received_ts"] == pd.Timestamp(
        "2026-03-08 11:00"
    )
    assert shop.frame("superseded_events").empty


@pytest.mark.slow
def test_a_snapshot_that_changes_makes_a_version(shop: Shop) -> None:
    """Of customers without `changed`, the first row counts as known always, others from their day on."""
    shop.take()
    shop.write("customers.csv", CUSTOMERS.replace("1,a,yes", "1,z,no"))
    later = DAY + dt.timedelta(days=3)
    shop.take(later)
    for day, plan, consent in ((DAY, "a", True), (later, "z", False)):
        known = known_at(shop.tables, "customers", day).toPandas().set_index("customer_id")
        assert known.loc["1", "plan"] == plan
        assert known.loc["1", "consent_mail"] == consent
    shop.take(DAY)  # the snapshot of today says nothing of an earlier day
    assert known_at(shop.tables, "customers", DAY).where("plan = 'a'").count() == 1


@pytest.mark.slow
def test_local_times_are_of_their_zone(shop: Shop) -> None:
    """A time without a zone is local, with daylight saving; one with an offset is what it says."""
    shop.source["tables"]["events"]["time_zone"] = "Europe/Madrid"
    rows = {
        "winter": ("2026-03-01 10:00:00", "2026-03-01 09:00"),
        "summer": ("2026-07-01 10:00:00", "2026-07-01 08:00"),
        "leap": ("2024-02-29 00:30:00", "2024-02-28 23:30"),
        "offset": ("2026-03-01T10:00:00+05:30", "2026-03-01 04:30"),
        "zulu": ("2026-03-01T10:00:00Z", "2026-03-01 10:00"),
        "day": ("2026-03-01", "2026-02-28 23:00"),
    }
    lines = [f"{name},1,{text},buy,1,{text}" for name, (text, _) in rows.items()]
    shop.write("events.csv", "id,who,at,what,eur,told\n" + "\n".join(lines) + "\n")
    shop.take(dt.date(2026, 8, 1))
    found = shop.frame("events", "event_id")["event_ts"]
    assert {name: str(found[name])[:16] for name in rows} == {
        name: moment for name, (_, moment) in rows.items()
    }


def _fetched(shop: Shop) -> pd.DataFrame:
    """The events of a day, without taking them in."""
    with shop.tables.staging():
        events: Any = shop.fetch().events
        rows: pd.DataFrame = events.toPandas()
    return rows.set_index("event_id").sort_index()


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path / "events.parquet", index=False)


def _nanoseconds(frame: pd.DataFrame, path: Path) -> None:
    times = {name: pd.to_datetime(frame[name]) for name in ("at", "told")}
    frame.assign(**times).to_parquet(path / "events.parquet", index=False)


def _with_zone(frame: pd.DataFrame, path: Path) -> None:
    times = {
        name: pd.to_datetime(frame[name]).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        for name in ("at", "told")
    }
    frame.assign(**times).to_parquet(path / "events.parquet", index=False)


def _json_lines(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path / "events.jsonl", orient="records", lines=True)


def _gzip(frame: pd.DataFrame, path: Path) -> None:
    with gzip.open(path / "events.csv.gz", "wt") as file:
        frame.to_csv(file, index=False)


def _many(frame: pd.DataFrame, path: Path) -> None:
    for number, part in frame.groupby(frame.index):
        folder = path / "events" / f"day={number}"
        folder.mkdir(parents=True)
        part.to_csv(folder / "part.csv", index=False)


def _kinds(frame: pd.DataFrame, path: Path) -> None:
    """A file a row, and in each the columns have other types: numbers, texts, nothing at all."""
    (path / "events").mkdir()
    odd = pd.DataFrame([{**frame.iloc[0].to_dict(), "id": None, "eur": None}])
    odd.to_parquet(path / "events" / "odd.parquet", index=False)
    frame.iloc[[0]].to_parquet(path / "events" / "a.parquet", index=False)
    texts = frame.iloc[[1]].astype({"who": str, "eur": str})
    texts["at"] = pd.to_datetime(texts["at"])
    texts.to_parquet(path / "events" / "b.parquet", index=False)


@pytest.mark.parametrize(
    ("save", "place"),
    [
        (_parquet, "events.parquet"),
        (_nanoseconds, "*.parquet"),
        (_with_zone, "events.parquet"),
        (_json_lines, "events.jsonl"),
        (_gzip, "events.csv.gz"),
        (_many, "events/**/*.csv"),
        (_many, "events"),
        (_kinds, "events/*.parquet"),
    ],
)
def test_every_format_gives_the_same_rows(
    shop: Shop, save: Callable[[pd.DataFrame, Path], None], place: str
) -> None:
    """CSV, Parquet with any kind of times, JSON lines, gzip, folders and globs are read alike."""
    shop.source["quarantine_limit"] = 0.5
    expected = _fetched(shop)
    frame = pd.read_csv(shop.folder / "events.csv")
    (shop.folder / "events.csv").unlink()
    save(frame, shop.folder)
    shop.source["tables"]["events"]["from"] = place
    found = _fetched(shop)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)


@pytest.mark.slow
def test_tables_of_the_catalog_are_read(shop: Shop) -> None:
    """A three-part name is a table."""
    rows = shop.tables.spark.createDataFrame(
        [("e7", 1, dt.datetime(2026, 3, 8, 10), "buy", 2.0, dt.datetime(2026, 3, 8, 11))],
        "id STRING, who BIGINT, at TIMESTAMP, what STRING, eur DOUBLE, told TIMESTAMP",
    )
    shop.tables.ensure("evidence")
    rows.write.format("delta").saveAsTable("juan_dev.shop_test.raw_events")
    shop.source["tables"]["events"]["from"] = "juan_dev.shop_test.raw_events"
    shop.take()
    assert list(shop.frame("events")["event_id"]) == ["e7"]


@pytest.mark.slow
def test_ids_are_the_same_in_every_table(shop: Shop) -> None:
    """A whole number is one id whether a file holds it as text, integer, or float with gaps."""
    (shop.folder / "customers.csv").unlink()
    frame = pd.DataFrame({"id": [1.0, 2.0, None], "plan": ["a", "b", "c"], "mail": [1, 0, 1]})
    frame.to_parquet(shop.folder / "customers.parquet", index=False)
    shop.source["tables"]["customers"]["from"] = "customers.parquet"
    shop.source["quarantine_limit"] = 0.5
    shop.take()
    assert set(shop.frame("customers")["customer_id"]) == {"1", "2"}
    [bad] = shop.frame("quarantine").to_dict("records")
    assert bad["reason"] == "customer_id is missing"


BROKEN = {  # a row of a table, and why it does not fit
    "event without a key": (
        "events",
        ",1,2026-03-08 10:00:00,buy,1,2026-03-08",
        "event_id is missing",
    ),
    "event of nobody": (
        "events",
        "x,,2026-03-08 10:00:00,buy,1,2026-03-08",
        "customer_id is missing",
    ),
    "event without a type": (
        "events",
        "x,1,2026-03-08 10:00:00,,1,2026-03-08",
        "event_type is missing",
    ),
    "event without a time": ("events", "x,1,,buy,1,2026-03-08", "event_ts is missing"),
    "a word for a time": ("events", "x,1,yesterday,buy,1,2026-03-08", "event_ts is no time"),
    "a clock without a day": ("events", "x,1,10:00:00,buy,1,2026-03-08", "event_ts is no time"),
    "a number for a time": ("events", "x,1,1772000000,buy,1,2026-03-08", "event_ts is no time"),
    "a day that does not exist": (
        "events",
        "x,1,2026-02-30,buy,1,2026-03-08",
        "event_ts is no time",
    ),
    "a day in American order": ("events", "x,1,03/08/2026,buy,1,2026-03-08", "event_ts is no time"),
    "a month of 13": ("events", "x,1,2026-13-01 10:00:00,buy,1,2026-03-08", "event_ts is no time"),
    "a year before all": (
        "events",
        "x,1,0001-01-01,buy,1,2026-03-08",
        "event_ts lies outside the years",
    ),
    "a year after all": (
        "events",
        "x,1,9999-12-31,buy,1,2026-03-08",
        "event_ts lies outside the years",
    ),
    "never told": ("events", "x,1,2026-03-08,buy,1,", "received_ts is missing"),
    "a currency sign": ("events", "x,1,2026-03-08,buy,€5,2026-03-08", "amount is no number"),
    "a decimal comma": ("events", 'x,1,2026-03-08,buy,"5,5",2026-03-08', "amount is no number"),
    "a thousands comma": ("events", 'x,1,2026-03-08,buy,"1,005",2026-03-08', "amount is no number"),
    "not a number": ("events", "x,1,2026-03-08,buy,NaN,2026-03-08", "amount is no number"),
    "infinity": ("events", "x,1,2026-03-08,buy,1e999,2026-03-08", "amount is no number"),
    "a double of Java": ("events", "x,1,2026-03-08,buy,5d,2026-03-08", "amount is no number"),
    "hexadecimal": ("events", "x,1,2026-03-08,buy,0x10,2026-03-08", "amount is no number"),
    "a short line": ("events", "x,1,2026-03-08", "the line cannot be read"),
    "a long line": ("events", "x,1,2026-03-08,buy,1,2026-03-08,9,9", "the line cannot be read"),
    "another encoding": ("events", b"x,1,2026-03-08,b\xfcy,1,2026-03-08", "another encoding"),
    "a consent of maybe": ("customers", "9,a,maybe", "consent_mail is no yes or no"),
    "a count for a consent": ("customers", "9,a,3", "consent_mail is no yes or no"),
    "a customer of no name": ("customers", ",a,yes", "customer_id is missing"),
    "a blank customer": ("customers", "  ,a,yes", "customer_id is missing"),
    "outcome without its amount": ("outcomes", "x,1,buy,2026-03-08,", "amount is missing"),
    "outcome of no type": ("outcomes", "x,1,,2026-03-08,1", "outcome_type is missing"),
    "outcome without a key": ("outcomes", ",1,buy,2026-03-08,1", "outcome_id is missing"),
    "outcome of nobody": ("outcomes", "x,,buy,2026-03-08,1", "customer_id is missing"),
    "outcome without a time": ("outcomes", "x,1,buy,,1", "outcome_ts is missing"),
    "an amount in words": ("outcomes", "x,1,buy,2026-03-08,five", "amount is no number"),
    "probability of 0": ("decisions", "x,1,2026-03-08,none,0", "action_probability is not above 0"),
    "probability below 0": (
        "decisions",
        "x,1,2026-03-08,none,-0.5",
        "action_probability is not above 0",
    ),
    "a percentage": ("decisions", "x,1,2026-03-08,none,50", "action_probability is not above 0"),
    "a percent sign": ("decisions", "x,1,2026-03-08,none,50%", "action_probability is no number"),
    "no probability": ("decisions", "x,1,2026-03-08,none,", "action_probability is missing"),
    "an unknown arm": (
        "decisions",
        "x,1,2026-03-08,letter,0.5",
        "action_id is not in the catalogue",
    ),
    "no arm": ("decisions", "x,1,2026-03-08,,0.5", "action_id is missing"),
    "an arm in capitals": (
        "decisions",
        "x,1,2026-03-08,MAIL,0.5",
        "action_id is not in the catalogue",
    ),
    "an arm without consent": ("decisions", "y,2,2026-03-08,mail,0.5", "had not consented"),
    "a stranger": ("decisions", "x,77,2026-03-08,none,0.5", "the customer was not known then"),
    "two rows of one decision": (
        "decisions",
        "d1,1,2026-03-08 08:00:00,none,0.5",
        "two different rows",
    ),
    "decision of no name": ("decisions", ",1,2026-03-08,none,0.5", "decision_id is missing"),
    "decision without a time": ("decisions", "x,1,,none,0.5", "decision_ts is missing"),
}


def test_rows_that_do_not_fit_go_to_quarantine(shop: Shop) -> None:
    """Each is kept once with its reason and content, and all other rows come in."""
    shop.source["quarantine_limit"] = 0.99
    for table in ("customers", "events", "outcomes", "decisions"):
        path = shop.folder / f"{table}.csv"
        head, *rows = path.read_bytes().splitlines()
        lines = [head + b",tag", *(row + b",fine" for row in rows)]
        for tag, (where, line, _) in BROKEN.items():
            if where == table:
                text = line if isinstance(line, bytes) else line.encode()
                lines.append(text + b"," + tag.encode())
        path.write_bytes(b"\n".join(lines) + b"\n")
    facts = shop.take()
    bad = shop.frame("quarantine")
    lost = [tag for tag in BROKEN if not bad["row"].str.contains(tag, regex=False).any()]
    assert lost == []
    for tag, (table, _, reason) in BROKEN.items():
        [found] = bad[bad["row"].str.contains(tag, regex=False)].to_dict("records")
        assert found["table"] == table
        assert reason in found["reason"], tag
        assert json.loads(found["row"])
    assert len(bad) == len(BROKEN) + 1  # and the twin of d1: nobody knows which of them is right
    assert bad["row"].str.contains('"d1"').sum() == 2
    assert "event_ts is no time" in facts.note
    assert set(shop.frame("customers")["customer_id"]) == {"1", "2"}
    assert set(shop.frame("events")["event_id"]) == {"e1", "e2"}
    assert set(shop.frame("outcomes")["outcome_id"]) == {"o1"}
    assert set(shop.frame("decisions")["decision_id"]) == {"d2"}
    shop.take(DAY + dt.timedelta(days=1))
    assert len(shop.frame("quarantine")) == len(bad)  # a row that stands still is not told of again


def test_probabilities_of_a_randomised_test_imply_its_distribution(shop: Shop) -> None:
    """Where every action of a set is logged with one probability; not where one varies or lacks."""
    sets = {"all": "none|mail|call", "vary": "none|mail|post", "few": "none|call|post"}
    drawn = {
        "all": ["none,.5", "mail,.3", "call,.2"] * 10,
        "vary": ["none,.5", "mail,.2", "mail,.3"] * 10,
        "few": ["none,.6", "call,.2", "post,.2"] * 9,  # of a logger that looks at contexts, perhaps
    }
    rows = [
        f"{kind}{number},1,2026-03-08,{each},{sets[kind]}"
        for kind, lines in drawn.items()
        for number, each in enumerate(lines)
    ]
    shop.write("decisions.csv", "id,who,at,arm,p,eligible\n" + "\n".join(rows) + "\n")
    shop.source["tables"]["decisions"]["columns"]["eligible"] = "eligible"
    actions = shop.conf / "sources" / "shop_actions.yml"
    more = "".join(
        f"  - {{id: {name}, name: x, group: x, channel: mail}}\n" for name in ("call", "post")
    )
    actions.write_text(ACTIONS + more)
    with shop.tables.staging():
        facts = shop.fetch()
        decisions: Any = facts.decisions
        found = decisions.toPandas().set_index("decision_id")["distribution"]
    whole = pytest.approx({"none": 0.5, "mail": 0.3, "call": 0.2})
    assert len(found) == 87
    for name, value in found.items():
        assert (None if value is None else dict(value)) == (whole if "all" in name else None)
    assert "57 decisions have no known distribution, and no floor is declared" in facts.note


def test_too_many_broken_rows_stop_the_day(shop: Shop) -> None:
    """Above the limit nothing is written, and the error has reasons, counts and an example."""
    shop.write("events.csv", EVENTS + "x,1,never,buy,1,2026-03-08\ny,1,never,buy,1,2026-03-08\n")
    with pytest.raises(
        SourceError, match=r"2 of 4 new rows of events .*event_ts is no time \(2\)"
    ) as caught:
        shop.take()
    assert "never" in caught.value.what
    assert "nothing was written" in str(caught.value.hint)
    assert not shop.tables.exists("customers")
    assert not shop.tables.exists("quarantine")


Edit = Callable[[Shop], Any]
REFUSED: dict[str, tuple[Edit, str]] = {
    "no such file": (lambda s: (s.folder / "events.csv").unlink(), "No file matches"),
    "an empty file": (lambda s: s.write("events.csv", ""), "is empty"),
    "no such column": (
        lambda s: s.write("events.csv", EVENTS.replace("what", "wat")),
        "has no column 'what' for event_type",
    ),
    "no such attribute": (
        lambda s: s.write("customers.csv", CUSTOMERS.replace("plan", "tariff")),
        "has no column 'plan' for plan",
    ),
    "no consents": (
        lambda s: s.source["tables"]["customers"]["columns"].pop("consent_mail"),
        "has no column 'consent_mail' for consent_mail",
    ),
    "no such stamp": (
        lambda s: s.source["tables"]["events"].update(received="loaded"),
        "has no column 'loaded'",
    ),
    "no such table": (
        lambda s: s.source["tables"]["events"].update({"from": "crm.raw.nothing"}),
        "There is no table crm.raw.nothing",
    ),
    "a format that nobody said": (
        lambda s: (
            s.write("e.dat", EVENTS),
            s.source["tables"]["events"].update({"from": "e.dat"}),
        ),
        "The format of dat files is not clear",
    ),
    "two formats": (
        lambda s: (s.write("e.jsonl", "{}"), s.source["tables"]["events"].update({"from": "e*.*"})),
        "is not clear",
    ),
    "text that is no Parquet": (
        lambda s: (
            s.write("e.parquet", EVENTS),
            s.source["tables"]["events"].update({"from": "e.parquet"}),
        ),
        "e.parquet cannot be read",
    ),
    "a damaged gzip": (
        lambda s: (
            s.write("e.csv.gz", b"\x1f\x8b\x08 damaged"),
            s.source["tables"]["events"].update({"from": "e.csv.gz"}),
        ),
        "e.csv.gz cannot be read",
    ),
    "other columns in a second file": (
        lambda s: (
            s.write("many/a.csv", EVENTS),
            s.write("many/b.csv", "id,at,who,what,eur\n1,2,3,4,5\n"),
            s.source["tables"]["events"].update({"from": "many/*.csv"}),
        ),
        "break the contract",
    ),
    "no customer": (lambda s: s.write("customers.csv", "id,plan,mail\n"), "No customer of shop"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(shop: Shop, name: str) -> None:
    """The error says what, in which table of which file, and how to go on; nothing is written."""
    edit, what = REFUSED[name]
    edit(shop)
    with pytest.raises(SourceError, match=what) as caught:
        shop.take()
    assert "conf/sources/shop.yml, tables." in str(caught.value.where)
    assert caught.value.hint
    assert not shop.tables.exists("customers")


WRONG: dict[str, tuple[Edit, str]] = {
    "unknown zone": (
        lambda s: s.source["tables"]["events"].update(time_zone="Madrid"),
        "there is no time zone 'Madrid'",
    ),
    "a constant for a time": (
        lambda s: s.source["tables"]["events"]["columns"].update(event_ts=True),
        "event_ts is the name of a column",
    ),
    "received of customers": (
        lambda s: s.source["tables"]["customers"].update(received="x"),
        "customers have `changed`",
    ),
    "changed of events": (
        lambda s: s.source["tables"]["events"].update(changed="x"),
        "events have `received`",
    ),
    "a floor of events": (
        lambda s: s.source["tables"]["events"].update(floor=0.1),
        "events have no floor",
    ),
    "a column that outcomes lack": (
        lambda s: s.source["tables"]["outcomes"]["columns"].update(price="eur"),
        "outcomes have no price",
    ),
    "no outcomes": (lambda s: s.source["tables"].pop("outcomes"), "'outcomes' is missing"),
    "no from": (lambda s: s.source["tables"]["events"].pop("from"), "'from' is missing"),
    "unknown kind": (lambda s: s.source.update(kind="table"), "no kind of source 'table'"),
    "another name": (lambda s: s.source.update(name="stall"), "describes a source 'stall'"),
    "a list of kinds": (lambda s: s.source.update(kind=["tables"]), "no kind of source"),
    "limit above 1": (lambda s: s.source.update(quarantine_limit=2), "less than 1"),
    "a file elsewhere": (lambda s: s.source.update(features="../x.yml"), "is not a name"),
    "a file that is not there": (lambda s: s.source.update(features="x.yml"), "x.yml"),
    "a key that nobody knows": (
        lambda s: s.source["tables"]["events"].update(recieved="told"),
        "Unknown key 'recieved'",
    ),
    "an unknown format": (
        lambda s: s.source["tables"]["events"].update(format="xlsx"),
        "format",
    ),
    "amount of what": (
        lambda s: s.source["engine"]["reward"].update(outcomes={"buy": "price"}),
        "reward",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mapping_that_makes_no_sense_is_refused(shop: Shop, name: str) -> None:
    """Before anything is read, with file, line and key."""
    edit, what = WRONG[name]
    edit(shop)
    with pytest.raises(NbaError) as caught:
        shop.fetch()
    assert what in str(caught.value)
    assert ".yml" in str(caught.value.where)
