"""A log in a file: verified before it is read, and mapped as its description says."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any, Callable

import pytest

from engine.config import Config, load_config
from engine.data.sources.log_file import LogFile, read_log
from engine.errors import SourceError
from engine.parameters import Parameters
from engine.source_definitions import LogSource

COLUMNS = (
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,"
    "conversion,spend"
)
TEXT = f"""\
{COLUMNS}
10,low,142.44,1,0,Rural,0,Phone,Womens E-Mail,0,0,0
6,high,,1,1,Urban,1,Web,No E-Mail,1,0,0
7,low,20.5,0,1,Urban,1,Web,Mens E-Mail,1,1,29.99
"""


@pytest.fixture(scope="module")
def shipped(repository: Path) -> Config:
    """The configuration of the real log."""
    return load_config(repository / "conf", "hillstrom")


def described(config: Config, **file: Any) -> LogSource:
    """Its source, with another file section."""
    assert isinstance(config.source, LogSource)
    changed = config.source.file.model_copy(update={"sha256": None, **file})
    return config.source.model_copy(update={"file": changed})


@pytest.fixture
def fetch(shipped: Config, tmp_path: Path) -> Callable[..., Any]:
    """(text, as_of) -> the facts of a file with this text."""

    def brought(text: str, as_of: str = "2026-03-02") -> Any:
        path = tmp_path / "log.csv"
        path.write_text(text)
        values = {**dict.fromkeys(Parameters.names(), "x"), "experiment": "/x"}
        values.update(as_of=as_of, source_path=str(path))
        source = LogFile(shipped, described(shipped))
        [facts] = source.fetch(Parameters.parse(values), tables=None)  # type: ignore[arg-type]
        return facts

    return brought


def test_rows_become_facts(fetch: Callable[..., Any]) -> None:
    """Rows are numbered and dated; an outcome above 0 happened an hour after its decision."""
    facts = fetch(TEXT)
    customers = facts.customers.to_pylist()
    assert [row["customer_id"] for row in customers] == ["H0000000", "H0000001", "H0000002"]
    assert customers[1]["history"] is None
    assert customers[0]["consent_email"] is True
    decisions = facts.decisions.to_pylist()
    assert [row["action_id"] for row in decisions] == ["womens_email", "no_contact", "mens_email"]
    assert [str(row["decision_date"]) for row in decisions] == [
        "2026-02-02",
        "2026-02-03",
        "2026-02-04",
    ]
    assert {row["action_probability"] for row in decisions} == {1 / 3}
    outcomes = {row["outcome_id"]: row for row in facts.outcomes.to_pylist()}
    assert set(outcomes) == {
        "H0000001:2026-02-03:0:visit",
        "H0000002:2026-02-04:0:visit",
        "H0000002:2026-02-04:0:purchase",
    }
    bought = outcomes["H0000002:2026-02-04:0:purchase"]
    assert (bought["amount"], bought["outcome_ts"].hour) == (29.99, 9)
    assert facts.events.num_rows == 0
    assert "3 rows of hillstrom" in facts.note


def test_a_day_inside_the_log_sees_earlier_days_only(fetch: Callable[..., Any]) -> None:
    """Decisions and outcomes of as_of and later are not known; customers all are."""
    facts = fetch(TEXT, as_of="2026-02-04")
    assert facts.decisions.num_rows == 2
    assert facts.outcomes.num_rows == 1
    assert facts.customers.num_rows == 3


def test_a_value_that_maps_to_no_action(fetch: Callable[..., Any]) -> None:
    """A value of the action's column that nobody mapped is named, with the closest one."""
    with pytest.raises(SourceError, match="maps to no action") as caught:
        fetch(TEXT.replace("Mens E-Mail,1", "Men E-Mail,1"))
    assert caught.value.where == "source hillstrom, columns.actions"
    assert caught.value.hint == "did you mean 'Mens E-Mail'?"


@pytest.mark.parametrize("column", ["segment", "visit", "recency", "spend"])
def test_a_column_that_is_not_there(shipped: Config, tmp_path: Path, column: str) -> None:
    """Each column that the description needs is missed by name, with the closest one."""
    path = tmp_path / "log.csv"
    path.write_text(re.sub(rf"\b{column}\b", f"{column}s", TEXT))
    with pytest.raises(SourceError, match=f"no column '{column}'") as caught:
        read_log(described(shipped), str(path))
    assert caught.value.hint == f"did you mean '{column}s'?"
    assert str(path) in str(caught.value.where)


def test_another_file_is_refused(shipped: Config, tmp_path: Path) -> None:
    """A file whose content is not the one described says both checksums."""
    path = tmp_path / "log.csv"
    path.write_text(TEXT)
    assert isinstance(shipped.source, LogSource)
    with pytest.raises(SourceError, match=hashlib.sha256(TEXT.encode()).hexdigest()) as caught:
        read_log(shipped.source, str(path))
    assert str(shipped.source.file.sha256) in caught.value.what
    assert "fetch the file again" in str(caught.value.hint)


def test_the_checksum_is_that_of_the_unpacked_file(shipped: Config, tmp_path: Path) -> None:
    """A packed file is verified by what it holds, whenever and however it was packed."""
    source = described(shipped, sha256=hashlib.sha256(TEXT.encode()).hexdigest())
    for level in (1, 9):
        path = tmp_path / "log.csv.gz"
        path.write_bytes(gzip.compress(TEXT.encode(), level))
        assert len(read_log(source, str(path))) == 3


@pytest.mark.parametrize(
    ("path", "what"), [("", "needs the path of its file"), ("/nowhere/log.csv", "no file")]
)
def test_a_file_that_is_not_given_or_not_there(shipped: Config, path: str, what: str) -> None:
    """Without a path, or without a file, the error says which parameter is meant."""
    with pytest.raises(SourceError, match=what) as caught:
        read_log(described(shipped), path)
    assert "source_path" in str(caught.value.hint)


def test_the_last_day_with_outcomes_is_known(shipped: Config) -> None:
    """Decisions after the log's last synthetic day can never mature."""
    assert LogFile(shipped, described(shipped)).last_day == dt.date(2026, 2, 15)
