"""The job parameters: texts as the jobs pass them, values as the engine uses them."""

from __future__ import annotations

import datetime as dt
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from engine.errors import ConfigError
from policies.errors import require_known

SIMULATION = "simulation"  # the source where none is named
UNSET = "unset"  # the source of a target for which nobody has chosen one yet
FIRST, LAST = dt.date(2000, 1, 1), dt.date(2100, 12, 31)  # of `as_of`
LONGEST = 1_000  # characters of a parameter
_NAME = (r"[A-Za-z0-9_]{1,255}", "a name of at most 255 letters, digits and _")
_RULES = {
    "catalog": _NAME,
    "schema": _NAME,
    "source": (r"[A-Za-z0-9_]{0,255}", "the name of a file in conf/sources, without .yml"),
    "volume": (r".+", "the path of a folder"),
    "experiment": (r"/.*[^/]", "an absolute path such as /Shared/nba"),
}


@dataclass(frozen=True)
class Parameters:
    """The parameters of one run.

    `as_of` is the day the code pretends it is: everything known by its 00:00 UTC is known.
    """

    catalog: str
    schema: str
    as_of: dt.date
    source: str
    source_path: str
    conf_dir: Path
    volume: Path
    experiment: str

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all job parameters."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Parameters:
        """Check the parameters of a job.

        Raises:
            ConfigError: one is unknown, missing, too long, no plain text, or not what its name
                promises; `as_of` lies outside the years 2000 to 2100.
        """
        for name in given:
            what = f"There is no job parameter {name!r}."
            require_known(name, cls.names(), ConfigError, what, "job parameters")
        missing = [name for name in cls.names() if name not in given]
        if missing:
            what = f"Job parameters are missing: {', '.join(missing)}."
            raise ConfigError(what, where="job parameters", hint="give each a value")
        for name, value in given.items():
            if len(value) > LONGEST or re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value):
                raise _refused(name, value, f"a plain text of at most {LONGEST:,} characters")
            pattern, kind = _RULES.get(name, (".*", ""))
            if not re.fullmatch(pattern, value, flags=re.ASCII):
                raise _refused(name, value, kind)
        if given["source"] == UNSET:
            raise ConfigError(
                "This target has no source of customers, events and decisions yet.",
                where="job parameters, source",
                hint="write conf/sources/NAME.yml, and set the target's variable source to NAME",
            )
        try:
            as_of = dt.date.fromisoformat(given["as_of"])
            if str(as_of) != given["as_of"]:
                raise ValueError("a week or another form that only newer Pythons read")
        except ValueError as error:
            raise ConfigError(
                f"as_of is not a date: {reprlib.repr(given['as_of'])}.",
                where="job parameters, as_of",
                hint="write it as 2026-03-02",
            ) from error
        if not FIRST <= as_of <= LAST:
            raise _refused("as_of", given["as_of"], f"a day from {FIRST} to {LAST}")
        return cls(
            catalog=given["catalog"],
            schema=given["schema"],
            as_of=as_of,
            source=given["source"] or SIMULATION,
            source_path=given["source_path"],
            conf_dir=Path(given["conf_dir"] or "conf"),
            volume=Path(given["volume"]),
            experiment=given["experiment"],
        )


def _refused(name: str, value: str, kind: str) -> ConfigError:
    what, hint = f"{name} must be {kind}, and is {reprlib.repr(value)}.", f"--params {name}=…"
    return ConfigError(what, where=f"job parameters, {name}", hint=f"correct it: {hint}")
