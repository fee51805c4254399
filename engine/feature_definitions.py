"""The features of `conf/features.yml`: what each is made from, its type, and what it must not be."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Optional, Union

import sqlglot
from pydantic import Field, field_validator, model_validator
from sqlglot import exp
from sqlglot.tokens import TokenType

from engine.digests import text_digest
from engine.settings import Days, Kind, Money, Name, Section, Text
from engine.time_zones import known_zone

CONTACT = "contact"  # decisions whose channel is not "none"; every other name is an event type
WINDOWED = ("count", "sum", "mean", "min", "max", "distinct")
SOURCES = ("attribute", "days_since", *WINDOWED, "sql", "table")
_NEEDED = {
    "attribute": ("type",),
    "count": ("days",),
    "table": ("time", "column"),
    **dict.fromkeys(WINDOWED[1:], ("of", "days")),
}
_ALLOWED = {
    "days_since": ("days", "channel", "group"),
    "count": ("days", "channel", "group"),
    "table": ("key", "time", "column"),
    **dict.fromkeys(WINDOWED[1:], ("of", "days")),
}
_TYPES = {"count": "bigint", "distinct": "bigint"}  # of the others: double
RESERVED = (  # columns of customer_features, of rewarded_decisions, and of the moments joined
    *("customer_id", "feature_ts", "day", "decision_id", "decision_date", "decision_ts", "group"),
    *(
        "action_id",
        "action_probability",
        "eligible_actions",
        "distribution",
        "reward",
        "matured_on",
    ),
)
LONGEST, DEEPEST = 2_000, 25  # characters and parentheses of an `sql`
_STATEMENTS = {TokenType[name] for name in ("SELECT", "FROM", "UNION", "WITH", "OVER", "SEMICOLON")}
_FUNCTIONS = (
    "abs, ceil, coalesce, concat, exp, floor, greatest, if, least, length, ln, lower, nullif, "
    "pow, round, sqrt, substring, trim, upper, CASE and CAST"
)
_PLAIN = (
    *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Case, exp.If),
    *(exp.Connector, exp.Predicate, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe),
    *(exp.Not, exp.Neg, exp.Cast, exp.DataType, exp.DataTypeParam),
    *(exp.Abs, exp.Ceil, exp.Coalesce, exp.Concat, exp.Exp, exp.Floor, exp.Greatest, exp.Least),
    *(exp.Length, exp.Ln, exp.Lower, exp.Nullif, exp.Pow, exp.Round, exp.Sqrt, exp.Substring),
    *(exp.Trim, exp.Upper),
)


class Feature(Section):
    """One feature: exactly one of `SOURCES`, and what narrows it.

    Args:
        attribute: a column of `customers`.
        days_since: a date column of `customers`; with `days` an event type or "contact", and then
            null where there was none in so many days.
        count: an event type or "contact".
        sum, mean, min, max, distinct: a column of `events`, over the type that `of` names.
        sql: an expression over other features.
        table, key, time, column: a column of a table that exists, from the newest row of the
            customer at or before the day's 00:00 UTC.
        of, days, channel, group: the event type; the calendar days before the day; contacts of
            this channel or group of actions alone.
        type: SQL type; needed for an attribute, otherwise bigint for counts and days since a date,
            else double.
        default: takes the place of null.
        meaning: for people.
    """

    attribute: Optional[Text] = None
    days_since: Optional[Text] = None
    count: Optional[Text] = None
    sum: Optional[Text] = None
    mean: Optional[Text] = None
    min: Optional[Text] = None
    max: Optional[Text] = None
    distinct: Optional[Text] = None
    sql: Optional[Annotated[str, Field(min_length=1, max_length=LONGEST)]] = None
    table: Optional[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){2}$")]] = None
    key: Name = "customer_id"
    time: Optional[Name] = None
    column: Optional[Name] = None
    of: Optional[Text] = None
    days: Optional[Days] = None
    channel: Optional[Name] = None
    group: Optional[Text] = None
    type: Optional[Kind] = None
    default: Union[bool, Money, Text, None] = None
    meaning: Optional[Text] = None

    @model_validator(mode="after")
    def _one_source(self) -> Feature:
        given = self.model_fields_set - {"type", "default", "meaning"}
        sources = [name for name in SOURCES if name in given]
        if len(sources) != 1:
            raise ValueError(f"a feature has one of {', '.join(SOURCES)}; this one has {sources}")
        source = sources[0]
        for name in sorted(given - {source, *_ALLOWED.get(source, ())}):
            raise ValueError(f"{name} has no meaning beside {source}")
        for name in _NEEDED.get(source, ()):
            if getattr(self, name) is None:
                raise ValueError(f"{source} needs {name}")
        contacts = CONTACT in (self.count, self.days_since)
        if (self.channel or self.group) and not contacts:
            raise ValueError(f"channel and group narrow contacts: {source}: {CONTACT}")
        if self.of == CONTACT or (self.days_since == CONTACT and self.days is None):
            raise ValueError("contacts have no columns: count them, or take days_since with days")
        if self.default is not None and not _fits(self.default, self.kind):
            raise ValueError(f"default {self.default!r} is no {self.kind}")
        return self

    @field_validator("sql")
    @classmethod
    def _expression(cls, text: Optional[str]) -> Optional[str]:
        if text is not None:
            _columns_of(text)
        return text

    @property
    def source(self) -> str:
        """Which of `SOURCES` it is made from."""
        return next(name for name in SOURCES if getattr(self, name) is not None)

    @property
    def kind(self) -> str:
        """Its SQL type."""
        since_a_date = self.days_since is not None and self.days is None
        return self.type or _TYPES.get(self.source, "bigint" if since_a_date else "double")

    @property
    def event_type(self) -> Optional[str]:
        """The event type it looks for, or "contact"; None for what looks for neither."""
        return self.of or self.count or (self.days_since if self.days is not None else None)

    @property
    def needs(self) -> tuple[str, ...]:
        """The features that its `sql` reads."""
        return tuple(_columns_of(self.sql)) if self.sql else ()


class FeatureDefinitions(Section):
    """`conf/features.yml`.

    Args:
        time_zone: a day of events begins at its midnight.
        features: in the order of the table's columns.
    """

    time_zone: Text = "UTC"
    features: dict[Name, Feature] = Field(min_length=1, max_length=1_000)

    _zone = field_validator("time_zone")(known_zone)

    @model_validator(mode="after")
    def _consistent(self) -> FeatureDefinitions:
        lower = [name.lower() for name in self.features]
        for name in self.features:
            if name.lower() in RESERVED or name.lower().startswith("consent_"):
                raise ValueError(f"{name} is a column of the engine: give the feature another name")
            if lower.count(name.lower()) > 1:
                raise ValueError(f"{name} is there twice; SQL reads no capitals")
        for name, feature in self.features.items():
            for needed in feature.needs:
                if needed not in self.features:
                    raise ValueError(f"the sql of {name} reads {needed}, which is no feature")
        try:
            self.order  # noqa: B018 - it raises where features need each other
        except CycleError as error:
            raise ValueError(f"features need each other: {' -> '.join(error.args[1])}") from error
        return self

    @property
    def types(self) -> dict[str, str]:
        """Name -> SQL type, in order."""
        return {name: feature.kind for name, feature in self.features.items()}

    @property
    def order(self) -> list[str]:
        """The names, each after those that its `sql` reads."""
        return list(
            TopologicalSorter(
                {name: each.needs for name, each in self.features.items()}
            ).static_order()
        )

    @cached_property
    def digests(self) -> dict[str, str]:
        """Name -> 12 hex digits that change with what the feature is, not with its `meaning`."""
        found: dict[str, str] = {}
        for name in self.order:
            feature = self.features[name]
            said = feature.model_dump(exclude={"meaning"}, exclude_none=True)
            text = json.dumps({**said, "type": feature.kind}, sort_keys=True)
            zone = self.time_zone if feature.event_type else ""
            found[name] = text_digest(text, zone, *(found[other] for other in feature.needs))
        return {name: found[name] for name in self.features}

    @property
    def hash(self) -> str:
        """12 hex digits that change with any feature's name, content or position."""
        return text_digest(*(f"{name} {digest}" for name, digest in self.digests.items()))

    @property
    def attributes_only(self) -> bool:
        """Whether all are plain columns of `customers`, the same on every day."""
        return all(feature.attribute for feature in self.features.values())

    def windows(self) -> Iterator[tuple[str, Feature]]:
        """The features over events or contacts of the days before."""
        return ((name, each) for name, each in self.features.items() if each.event_type)

    @classmethod
    def of_attributes(cls, types: Mapping[str, str]) -> FeatureDefinitions:
        """Plain columns of `customers` with these SQL types."""
        features = {name: {"attribute": name, "type": kind} for name, kind in types.items()}
        return cls.model_validate({"features": features})


def _fits(value: Any, kind: str) -> bool:
    if kind in ("date", "timestamp"):
        try:
            dt.datetime.fromisoformat(str(value))
        except ValueError:
            return False
        return isinstance(value, str)
    if kind in ("bigint", "int"):
        return not isinstance(value, (bool, str)) and float(value).is_integer()
    expected = {"string": str, "boolean": bool}.get(kind, (int, float))
    return isinstance(value, expected) and (kind == "boolean") == isinstance(value, bool)


def _columns_of(text: str) -> list[str]:
    """The names that an expression reads.

    Raises:
        ValueError: it is none, or holds what is not the same on every run.
    """
    try:
        tokens = sqlglot.tokenize(text, read="spark")
        depth = deepest = 0
        for token in tokens:
            depth += (token.token_type is TokenType.L_PAREN) - (
                token.token_type is TokenType.R_PAREN
            )
            deepest = max(deepest, depth)
        if deepest > DEEPEST or len(tokens) > 500:
            raise ValueError(f"sql has more than {DEEPEST} nested parentheses, or 500 words")
        if statements := [t.text for t in tokens if t.token_type in _STATEMENTS]:
            raise ValueError(f"sql is an expression over features, without {statements[0].upper()}")
        tree = sqlglot.parse_one(text, read="spark")
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise ValueError(f"sql is no expression: {str(error).splitlines()[0]}") from error
    for node in tree.walk():
        if not isinstance(node, _PLAIN):
            raise ValueError(f"sql knows no {node.sql('spark')[:50]!r}; it knows {_FUNCTIONS}")
        if isinstance(node, exp.Column) and node.table:
            raise ValueError(f"sql reads features by name alone, not {node.sql('spark')!r}")
    return sorted({column.name for column in tree.find_all(exp.Column)})
