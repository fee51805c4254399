"""Checks of schedules: Quartz expressions, time zones, the order of a day."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator
from typing import Optional

from engine.bundle.checks.view import Finding, View
from engine.bundle.values import Fix, Value, corrected

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_FIELDS: tuple[
    tuple[str, int, int, list[str]], ...
] = (  # name, smallest, largest, and names that stand for numbers
    ("second", 0, 59, []),
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _DAYS),
    ("year", 1970, 2199, []),
)
# Each job reads what the one before it wrote.
DAY = ("data_pipeline_job", "training_job", "inference_job", "monitoring_job")


def cron(view: View) -> Iterator[Finding]:
    """A schedule is a Quartz expression: seconds first, and `?` in one of the two day fields."""
    for schedule in _schedules(view):
        value = schedule["quartz_cron_expression"]
        if value.text and not _open(value) and (problem := problem_of(value.text)):
            hint = "write seconds, minutes, hours, day, month and weekday: 0 0 8 * * ?"
            what = f"{value.text!r} is no Quartz expression: {problem}."
            yield Finding(what, value.place, hint, _quartz(value.text))


def zones(view: View) -> Iterator[Finding]:
    """A schedule names a time zone that exists."""
    known = zoneinfo.available_timezones()
    for schedule in _schedules(view):
        zone = schedule["timezone_id"]
        if not zone.text and schedule["quartz_cron_expression"].text:
            what = "The schedule names no time zone."
            yield Finding(what, schedule.place, "add timezone_id: UTC")
        elif zone.text and not _open(zone) and zone.text not in known:
            fix = corrected(zone.text, known)
            hint = f"did you mean {fix.text}?" if fix else "write UTC, or one such as Europe/Madrid"
            yield Finding(f"There is no time zone {zone.text!r}.", zone.place, hint, fix)


def order(view: View) -> Iterator[Finding]:
    """The jobs of the day start one after the other."""
    last: Optional[tuple[str, dt.time]] = None
    for key in DAY:
        if key not in view.jobs:
            continue
        value = view.jobs[key]["schedule"]["quartz_cron_expression"]
        at = _daily(value.text)
        if at is None:
            continue
        if last is not None and at <= last[1]:
            what = f"{key} starts at {at:%H:%M}, and {last[0]}, whose tables it reads, at "
            yield Finding(f"{what}{last[1]:%H:%M}.", value.place, "let it start later")
        last = key, at


def _schedules(view: View) -> Iterator[Value]:
    for job in view.jobs.values():
        if job["schedule"].items:
            yield job["schedule"]
    for pipeline in view.resolved.resources("pipelines").values():
        if pipeline["trigger"]["cron"].items:
            yield pipeline["trigger"]["cron"]


def _open(value: Value) -> bool:
    return "${" in value.text


def _daily(text: str) -> Optional[dt.time]:
    """The time of an expression that is one moment of a day."""
    fields = text.split()
    if len(fields) not in (6, 7) or problem_of(text) or not all(map(str.isdigit, fields[:3])):
        return None
    return dt.time(int(fields[2]), int(fields[1]), int(fields[0]))


def problem_of(text: str) -> Optional[str]:
    """What is wrong with a Quartz expression, or None."""
    fields = text.upper().split()
    if len(fields) not in (6, 7):
        return f"it has {len(fields)} fields instead of 6 or 7"
    if (fields[3] == "?") == (fields[5] == "?"):
        return "exactly one of day of month and day of week must be `?`"
    for field, (name, low, high, names) in zip(fields, _FIELDS):
        if field != "?" and not all(_part(part, low, high, names) for part in field.split(",")):
            return f"{field!r} is no {name}"
    return None


def _quartz(text: str) -> Optional[Fix]:
    """The Quartz expression that a Unix one, or one with two day fields, can only mean."""
    fields = text.split()
    if len(fields) == 5 and fields[4] == "*":  # weekdays count differently in the two
        fields = ["0", *fields]
    if len(fields) == 6 and fields[5] == "*":
        fields[5] = "?"
    fixed = " ".join(fields)
    return Fix("replace", fixed) if problem_of(fixed) is None else None


def _part(part: str, low: int, high: int, names: list[str]) -> bool:
    """Whether one of the parts between commas can be read."""
    if low == 1 and high > 12 and re.fullmatch(r"L(-\d{1,2})?|LW|\d{1,2}W", part):
        return True
    if high == 7 and re.fullmatch(rf"L|([1-7]|{'|'.join(_DAYS)})(L|#[1-5])", part):
        return True
    match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)
    if match is None:
        return False
    start, end, step = match.groups()
    ends = [text for text in (start, end) if text not in (None, "*")]
    numbers = [names.index(text) + low if text in names else text for text in ends]
    inside = all(str(n).isdigit() and low <= int(n) <= high for n in numbers)
    return inside and (start != "*" or end is None) and (step is None or int(step) > 0)
