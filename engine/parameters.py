"""The job parameters: texts as the jobs pass them, values as the engine uses them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from engine.errors import ConfigError
from policies.errors import require_known

SIMULATION = "simulation"  # the source where none is named


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
            ConfigError: one is unknown, missing, or `as_of` is no date.
        """
        for name in given:
            what = f"There is no job parameter {name!r}."
            require_known(name, cls.names(), ConfigError, what, "job parameters")
        missing = [name for name in cls.names() if name not in given]
        if missing:
            raise ConfigError(f"Job parameters are missing: {', '.join(missing)}.")
        try:
            as_of = dt.date.fromisoformat(given["as_of"])
        except ValueError as error:
            raise ConfigError(
                f"as_of is not a date: {given['as_of']!r}.",
                where="job parameters, as_of",
                hint="write it as 2026-03-02",
            ) from error
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
