"""conf/features.yml: one source a feature, typed, and refused by name where it is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from engine.config import load_config
from engine.errors import ConfigError
from engine.feature_definitions import FeatureDefinitions
from engine.world.source import KNOWN

COUNT = {"count": "visit", "days": 7}


def made(features: dict[str, Any], zone: str = "UTC") -> FeatureDefinitions:
    """Definitions of these features."""
    return FeatureDefinitions.model_validate({"time_zone": zone, "features": features})


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        ({"attribute": "plan", "type": "string"}, "string"),
        ({"days_since": "signup_date"}, "bigint"),
        ({"days_since": "order", "days": 28}, "double"),
        ({"days_since": "order", "days": 28, "type": "int"}, "int"),
        (COUNT, "bigint"),
        ({"sum": "amount", "of": "order", "days": 1}, "double"),
        ({"distinct": "shop", "of": "order", "days": 1}, "bigint"),
        ({"sql": "1 + 1"}, "double"),
        ({"table": "a.b.c", "time": "t", "column": "x", "type": "boolean"}, "boolean"),
    ],
)
def test_types_follow_from_the_source(feature: dict[str, Any], kind: str) -> None:
    """A count is a bigint, a sum a double, and what is given stands."""
    assert made({"f": feature}).types == {"f": kind}


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ({}, "has one of"),
        ({**COUNT, "sum": "amount"}, "has one of"),
        ({"count": "visit"}, "count needs days"),
        ({"sum": "amount", "days": 7}, "sum needs of"),
        ({"attribute": "plan"}, "attribute needs type"),
        ({"table": "a.b.c", "time": "t"}, "table needs column"),
        ({"table": "b.c", "time": "t", "column": "x"}, "match pattern"),
        ({**COUNT, "of": "order"}, "of has no meaning beside count"),
        ({"attribute": "plan", "type": "string", "days": 7}, "days has no meaning"),
        ({**COUNT, "channel": "email"}, "narrow contacts"),
        ({"sum": "amount", "of": "contact", "days": 7}, "no columns"),
        ({"days_since": "contact"}, "no columns"),
        ({**COUNT, "days": 0}, "greater than or equal"),
        ({**COUNT, "days": True}, "not true or false"),
        ({**COUNT, "type": "money"}, "Input should be"),
        ({**COUNT, "default": "none"}, "is no bigint"),
        ({**COUNT, "default": 0.5}, "is no bigint"),
        ({"attribute": "plan", "type": "string", "default": 1}, "is no string"),
        ({"attribute": "ok", "type": "boolean", "default": 1}, "is no boolean"),
        ({"attribute": "on", "type": "date", "default": "soon"}, "is no date"),
        ({"sql": "f + 1"}, "need each other"),
        ({"sql": "g"}, "no feature"),
        ({"sql": "rand()"}, "knows no"),
        ({"sql": "count(1)"}, "knows no"),
        ({"sql": "current_date()"}, "knows no"),
        ({"sql": "(SELECT 1)"}, "without SELECT"),
        ({"sql": "row_number() OVER (ORDER BY 1)"}, "without OVER"),
        ({"sql": "1; DROP TABLE x"}, "without ;"),
        ({"sql": "1 +"}, "no expression"),
        ({"sql": "other.f"}, "by name alone"),
        ({"sql": "(" * 400 + "1" + ")" * 400}, "nested parentheses"),
        ({"sql": "1 + " * 600 + "1"}, "at most 2000|500 words"),
        ({"sql": ""}, "at least 1"),
    ],
)
def test_a_wrong_feature_is_refused_by_reason(feature: dict[str, Any], words: str) -> None:
    """Each mistake has its own sentence."""
    with pytest.raises(ValidationError, match=words):
        made({"f": feature})


@pytest.mark.parametrize(
    "name",
    ["reward", "Customer_ID", "consent_email", "day", "feature_ts", "a b", "a`", "", "x" * 101],
)
def test_names_of_the_engine_are_refused(name: str) -> None:
    """A feature is a column beside the engine's own, and is called what SQL can call it."""
    with pytest.raises(ValidationError):
        made({name: COUNT})


def test_names_that_differ_by_capitals_are_refused() -> None:
    """SQL reads no capitals."""
    with pytest.raises(ValidationError, match="there twice"):
        made({"visits": COUNT, "Visits": COUNT})


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "+25:00"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    """Only zones with a name are days of people."""
    with pytest.raises(ValidationError):
        made({"f": COUNT}, zone)


def test_the_hash_follows_what_a_feature_is() -> None:
    """Days, zone, default and what an sql reads change it; a meaning does not."""
    base = {"visits": COUNT, "twice": {"sql": "2 * visits"}}
    plain = made(base)
    assert made({**base, "visits": {**COUNT, "meaning": "of the shop"}}).hash == plain.hash
    assert made({**base, "visits": {**COUNT, "type": "bigint"}}).hash == plain.hash
    others = [
        made({**base, "visits": {**COUNT, "days": 8}}),
        made({**base, "visits": {**COUNT, "default": 0}}),
        made(base, "Europe/Madrid"),
        made(dict(reversed(base.items()))),
    ]
    assert len({plain.hash, *(each.hash for each in others)}) == 5
    assert others[0].digests["twice"] != plain.digests["twice"]
    assert others[3].digests == {name: plain.digests[name] for name in ("twice", "visits")}


def test_expressions_are_computed_after_what_they_read() -> None:
    """The order of the file does not matter."""
    features = {"c": {"sql": "a + b"}, "b": {"sql": "a * 2"}, "a": COUNT}
    assert made(features).order == ["a", "b", "c"]
    assert list(made(features).types) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ({"attribute": "paln", "type": "string"}, "There is no attribute of customers 'paln'"),
        ({"days_since": "signup"}, "There is no attribute of customers 'signup'"),
        ({"count": "purchases", "days": 3}, "There is no event type 'purchases'"),
        ({"sum": "amount", "of": "vist", "days": 3}, "There is no event type 'vist'"),
        ({"count": "contact", "days": 3, "channel": "mail"}, "There is no channel 'mail'"),
        ({"count": "contact", "days": 3, "group": "offers"}, "group of actions 'offers'"),
    ],
)
def test_what_the_company_lacks_is_named_with_its_line(
    repository: Path, tmp_path: Path, feature: dict[str, Any], words: str
) -> None:
    """The error says the file's line and the closest name."""
    conf = tmp_path / "conf"
    shutil.copytree(repository / "conf", conf)
    path = conf / "features.yml"
    text = path.read_text() + f"  extra: {yaml.safe_dump(feature, default_flow_style=True)}"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(conf, known=KNOWN)
    assert f"features.yml:{text.count(chr(10))}" in str(caught.value.where)
    assert "did you mean" in str(caught.value.hint)


def test_a_predicate_on_a_feature_that_is_not_declared_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    """Actions and rules read declared features only, with or without a known company."""
    conf = tmp_path / "conf"
    shutil.copytree(repository / "conf", conf)
    path = conf / "features.yml"
    path.write_text(path.read_text().replace("contacts_7d:", "contacts_1w:"))
    with pytest.raises(ConfigError, match="contacts_7d"):
        load_config(conf)
