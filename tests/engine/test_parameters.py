"""The job parameters: defaults, and every text that no run could use is named."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.parameters import Parameters

GIVEN = {
    "catalog": "juan_dev",
    "schema": "nba",
    "as_of": "2026-03-02",
    "source": "",
    "source_path": "",
    "conf_dir": "",
    "volume": "/tmp/volume",
    "experiment": "/Shared/nba",
}


def test_empty_parameters_have_defaults() -> None:
    """Without a source it is the simulation, and the configuration lies in `conf`."""
    found = Parameters.parse(GIVEN)
    assert (found.source, found.conf_dir, found.as_of) == (
        "simulation",
        Path("conf"),
        dt.date(2026, 3, 2),
    )


def test_an_unknown_parameter_is_named() -> None:
    """A name that no job has is refused with the closest one."""
    with pytest.raises(ConfigError, match="no job parameter 'asof'") as caught:
        Parameters.parse({**GIVEN, "asof": "2026-03-02"})
    assert caught.value.hint == "did you mean 'as_of'?"


def test_missing_parameters_are_listed() -> None:
    """All job parameters that are missing are named at once."""
    with pytest.raises(ConfigError, match="volume, experiment"):
        Parameters.parse({name: GIVEN[name] for name in Parameters.names()[:-2]})


NO_DATES = (
    "",
    "2026-3-2",
    "26-03-02",
    "2026-02-30",
    "2025-02-29",
    "2026-W10-1",
    "20260302",
    "2026-03-02T08:00",
    " 2026-03-02",
    "\u0662026-03-02",
)


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date_is_refused(text: str) -> None:
    """`as_of` is a day of the calendar in one form, whatever else newer Pythons read as a date."""
    with pytest.raises(ConfigError) as caught:
        Parameters.parse({**GIVEN, "as_of": text})
    assert caught.value.what == f"as_of is not a date: {text!r}."
    assert caught.value.where == "job parameters, as_of"
    assert caught.value.hint == "write it as 2026-03-02"


HOSTILE = {
    "two centuries ahead": ("as_of", "2226-03-02", "a day from 2000-01-01 to 2100-12-31"),
    "end of time": ("as_of", "9999-12-31", "a day from 2000-01-01 to 2100-12-31"),
    "beginning of time": ("as_of", "0001-01-01", "a day from 2000-01-01 to 2100-12-31"),
    "a century too early": ("as_of", "1926-03-02", "a day from 2000-01-01 to 2100-12-31"),
    "long": ("as_of", "2026-03-02" * 1_000, "at most 1,000 characters"),
    "no catalog": ("catalog", "", "at most 255 letters, digits and _"),
    "catalog with a dot": ("catalog", "a.b", "at most 255 letters, digits and _"),
    "catalog with a back tick": ("catalog", "a`b", "at most 255 letters, digits and _"),
    "catalog with a letter of another script": ("catalog", "caf\u00e9", "letters, digits and _"),
    "catalog of 256 letters": ("catalog", "x" * 256, "at most 255 letters, digits and _"),
    "catalog with a line": ("catalog", "a\n", "plain text"),
    "schema that ends a statement": ("schema", "a; DROP SCHEMA b", "letters, digits and _"),
    "schema with a path": ("schema", "../other", "at most 255 letters, digits and _"),
    "schema with a space": ("schema", "my schema", "at most 255 letters, digits and _"),
    "source with a path": ("source", "../../etc/passwd", "a file in conf/sources"),
    "source with a suffix": ("source", "simulation.yml", "without .yml"),
    "source that is an option": ("source", "--help", "a file in conf/sources"),
    "NUL in the file": ("source_path", "a\0b", "plain text"),
    "file of 1,001 characters": ("source_path", "x" * 1_001, "at most 1,000 characters"),
    "bytes of no encoding": ("source_path", "caf\udce9.csv", "plain text"),
    "NUL in the folder": ("conf_dir", "conf\0", "plain text"),
    "folder that clears the screen": ("conf_dir", "\x1b[2Jconf", "plain text"),
    "no volume": ("volume", "", "the path of a folder"),
    "NUL in the volume": ("volume", "/Volumes/a\0", "plain text"),
    "volume of a mebibyte": ("volume", "/" + "x" * 2**20, "at most 1,000 characters"),
    "no experiment": ("experiment", "", "an absolute path such as /Shared/nba"),
    "experiment without a folder": ("experiment", "nba", "an absolute path"),
    "experiment that is the root": ("experiment", "/", "an absolute path"),
    "experiment that is a folder": ("experiment", "/Shared/", "an absolute path"),
    "experiment with a tab": ("experiment", "/Shared/\tnba", "plain text"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_parameters_are_refused_at_once(name: str) -> None:
    """A text that no run could use is refused with what it must be, before anything is read."""
    parameter, text, what = HOSTILE[name]
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        Parameters.parse({**GIVEN, parameter: text})
    assert time.process_time() - began < 1
    error = caught.value
    assert error.what.startswith(f"{parameter} must be ")
    assert what in error.what
    assert (error.where, error.hint) == (
        f"job parameters, {parameter}",
        f"correct it: --params {parameter}=…",
    )
    assert len(str(error)) < 300
    assert str(error).isprintable() or "\n" in str(error)


def test_an_old_or_coming_day_may_be_replayed() -> None:
    """Days of the years 2000 to 2100 are possible, however far from today."""
    for day in (dt.date(2000, 1, 1), dt.date(2008, 3, 20), dt.date(2100, 12, 31)):
        assert Parameters.parse({**GIVEN, "as_of": str(day)}).as_of == day


def test_paths_may_have_spaces_and_letters_of_any_script() -> None:
    """A volume, a file, a folder and an experiment are paths, not names."""
    paths = {
        "source_path": "/data/mis datos/cami\u00f3n.csv",
        "conf_dir": "my conf",
        "volume": "./.local/dev/volume",
        "experiment": "/Users/jos\u00e9@x.es/nba engine",
    }
    found = Parameters.parse({**GIVEN, **paths})
    assert {name: str(getattr(found, name)) for name in paths} == {
        **paths,
        "volume": ".local/dev/volume",
    }
