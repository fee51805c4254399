"""The log keeps its invariants, reads tables, and can be cut by rows and dates."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from policies import FixedAction, evaluate
from policies.errors import InvalidLogError
from policies.log import LoggedDecisions

IDS = ("call", "email", "no_contact")


def table(**columns: Any) -> pd.DataFrame:
    """Four decisions, some columns replaced."""
    frame = pd.DataFrame(
        {
            "action_id": ["email", "call", "no_contact", "email"],
            "action_probability": [0.5, 0.25, 1.0, 0.5],
            "reward": [1.0, 0.0, 0.0, 2.0],
            "decision_date": pd.to_datetime(
                ["2026-01-01", "2026-01-01", "2026-01-02", "2026-01-03"]
            ),
            "customer_id": ["a", "b", "a", "c"],
            "eligible_actions": [list(IDS), list(IDS), ["no_contact"], ["call", "email"]],
            "distribution": [
                {"call": 0.25, "email": 0.5, "no_contact": 0.25},
                {"call": 0.25, "email": 0.5, "no_contact": 0.25},
                {"no_contact": 1.0},
                {"call": 0.5, "email": 0.5},
            ],
            "age": [20, 30, 40, 50],
        }
    )
    return frame.assign(**columns)


def read(frame: pd.DataFrame, **more: Any) -> LoggedDecisions:
    """The log of a table like `table()`."""
    named: dict[str, Any] = {"eligible": "eligible_actions", "distribution": "distribution"}
    named.update(features=["age"], decision_date="decision_date", customer_id="customer_id")
    return LoggedDecisions.from_frame(frame, **{**named, **more})


def test_columns_become_arrays() -> None:
    """Named columns become the log's arrays and contexts, and action ids are sorted."""
    log = read(table())
    assert log.action_ids == IDS
    assert log.action.tolist() == [1, 0, 2, 1]
    assert log.eligible.tolist() == [
        [True] * 3,
        [True] * 3,
        [False, False, True],
        [True, True, False],
    ]
    assert log.distribution is not None
    assert log.distribution[3].tolist() == [0.5, 0.5, 0.0]
    assert log.contexts is not None
    assert list(log.contexts) == ["age"]
    assert log.choice.tolist() == [True, True, False, True]
    assert len(log) == 4
    assert log.n_actions == 3


@pytest.mark.parametrize("form", ["arrays", "pairs", "numbers", "matrix"])
def test_lists_and_maps_in_other_forms(form: str) -> None:
    """Numpy arrays, lists of pairs, rows of numbers and whole matrices read as the same log."""
    frame, plain = table(), read(table())
    more: dict[str, Any] = {"action_ids": IDS}
    if form == "arrays":
        frame["eligible_actions"] = [np.array(each) for each in frame["eligible_actions"]]
    elif form == "pairs":
        frame["distribution"] = [list(each.items()) for each in frame["distribution"]]
    elif form == "numbers":
        frame["distribution"] = list(plain.distribution)  # type: ignore[arg-type]
    else:
        more.update(eligible=plain.eligible, distribution=plain.distribution)
        frame = frame.drop(columns=["eligible_actions", "distribution"])
    log = read(frame, **more)
    np.testing.assert_array_equal(log.eligible, plain.eligible)
    np.testing.assert_array_equal(log.distribution, plain.distribution)


def test_a_column_of_another_order_is_refused() -> None:
    """A pandas column is taken in the frame's order, or refused; rows numbered anew are believed."""
    frame = table()
    turned = frame.iloc[::-1]
    with pytest.raises(InvalidLogError, match="order may be another"):
        read(turned, reward=frame["reward"])
    with pytest.raises(InvalidLogError, match="order may be another"):
        read(frame, reward=turned["reward"])
    for reward in (
        turned["reward"],
        turned["reward"].reset_index(drop=True).set_axis(turned.index),
    ):
        assert read(turned, reward=reward).reward.tolist() == [2.0, 0.0, 0.0, 1.0]
    elsewhere = turned.set_axis([14, 13, 12, 11])
    fresh = turned["reward"].reset_index(drop=True)
    assert read(elsewhere, reward=fresh).reward.tolist() == [2.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("action_probability", [0.5, 0.0, 1.0, 0.5], "must lie in (0, 1]: 1 of 4 rows"),
        ("action_probability", [0.5, 0.25, 1.0, 1.5], "in row 3"),
        ("action_probability", [0.4, 0.25, 1.0, 0.4], "must equal action_probability: 2 of 4 rows"),
        ("reward", [1.0, np.nan, np.inf, 0.0], "rows 1, 2"),
        ("reward", [1.0, 0.0, 0.0, 7.0], "reward_range [0, 2]"),
        ("action_id", ["emial", "call", "no_contact", "email"], "did you mean 'email'?"),
        ("action_id", ["email", "call", "email", "email"], "must be eligible"),
        ("customer_id", ["a", None, "a", "c"], "customer_id must not be missing"),
        ("decision_date", [pd.NaT] + [pd.Timestamp("2026-01-01")] * 3, "decision_date must not be"),
        ("distribution", [{"call": 1.5}] * 4, "sum to 1"),
    ],
)
def test_a_broken_row_is_named(column: str, value: list[Any], says: str) -> None:
    """A row that breaks an invariant raises an error with the rule and the row's number."""
    with pytest.raises(InvalidLogError) as caught:
        read(table(**{column: value}), action_ids=IDS, reward_range=(0, 2))
    assert says in str(caught.value)


def test_a_missing_column_is_named() -> None:
    """A column that the frame lacks raises an error that proposes the nearest one."""
    with pytest.raises(InvalidLogError, match="did you mean 'reward'"):
        read(table(), reward="rewards")


def test_shapes_and_types_are_checked() -> None:
    """Lengths that differ, action names instead of indices, and a bad range are refused."""
    good: dict[str, Any] = {"action": [0, 1], "action_probability": [1, 1], "reward": [0, 1]}
    for broken in (
        {"reward": [0.0]},
        {"reward": None},
        {"action": None},
        {"contexts": np.ones((2, 1))},
        {"action": ["a", "b"]},
        {"action": [0, 2]},
        {"eligible": np.ones((2, 3), dtype=bool)},
        {"contexts": pd.DataFrame({"x": [1]})},
        {"reward_range": (1, 0)},
        {"action_ids": ["a", "a"]},
    ):
        with pytest.raises(InvalidLogError):
            LoggedDecisions(**{"action_ids": ["a", "b"], **good, **broken})


def test_arrays_are_read_only() -> None:
    """No array of a log can be written to."""
    log = read(table())
    with pytest.raises(ValueError, match="read-only"):
        log.reward[0] = 5.0


def test_rows_can_be_taken() -> None:
    """A mask, indices and a slice give the same rows of every field."""
    log = read(table())
    parts = [log[np.array([False, True, True, False])], log[[1, 2]], log[1:3]]
    for part in parts:
        assert part.reward.tolist() == [0.0, 0.0]
        assert part.contexts is not None
        assert part.contexts["age"].tolist() == [30, 40]
        assert part.contexts.index.tolist() == [0, 1]
        assert part.customer_id is not None
        assert part.customer_id.tolist() == ["b", "a"]


def test_split_by_date() -> None:
    """A log is cut into the days before a date and those from then on."""
    before, after = read(table()).split_by_date("2026-01-02")
    assert (len(before), len(after)) == (2, 2)
    with pytest.raises(InvalidLogError, match="no dates"):
        read(table(), decision_date=None).split_by_date("2026-01-02")


def test_matured_before() -> None:
    """A row has matured at its matured_on, or without one on the day after its decision."""
    log = read(table())
    assert log.matured_before("2026-01-02").tolist() == [True, True, False, False]
    late = read(table(matured_on=pd.Timestamp("2026-01-05")), matured_on="matured_on")
    assert not late.matured_before("2026-01-04").any()
    assert late.matured_before("2026-01-05").all()
    assert late.known_on.tolist() == np.asarray(late.matured_on).tolist()
    assert (log.known_on == np.asarray(log.decision_date) + 1).all()
    with pytest.raises(InvalidLogError, match="no dates"):
        _ = read(table(), decision_date=None).known_on


MADRID = pd.Timestamp("2026-01-01", tz="Europe/Madrid")  # 23:00 of the day before in UTC


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "dates",
    [
        pd.Series([MADRID] * 4),
        pd.DatetimeIndex([MADRID] * 4),
        [MADRID] * 4,
        [MADRID, pd.Timestamp("2026-01-01", tz="Asia/Tokyo"), MADRID.to_pydatetime(), MADRID],
        ["2026-01-01T00:00:00+01:00", "2026-01-01 00:00+0900", "2026-01-01T00:00Z", "20260101"],
    ],
    ids=["series", "index", "list", "zones", "texts"],
)
def test_a_date_is_the_one_that_was_written(dates: Any) -> None:
    """A time with a zone counts on its local date, whatever the date is in UTC."""
    log = read(table(), decision_date=dates)
    assert log.decision_date is not None
    assert set(log.decision_date.astype(str)) == {"2026-01-01"}
    early, late = log.split_by_date(MADRID)
    assert (len(early), len(late)) == (0, 4)


@pytest.mark.parametrize("value", [True, 1, 1.5, np.array([True] * 4), [1, MADRID, 2, 3]])
def test_what_is_no_date(value: Any) -> None:
    """Numbers and booleans are refused as dates, also in an object array."""
    values = value if np.ndim(value) else [value] * 4
    for dates in (values, np.array(values, dtype=object)):
        with pytest.raises(InvalidLogError, match="could be any date"):
            read(table(), decision_date=dates)


@pytest.mark.parametrize("value", ["False", np.nan, 0.3, None, 2])
def test_eligible_is_yes_or_no(value: Any) -> None:
    """What is neither True, False, 0 nor 1 is refused; numbers 0 and 1 are read."""
    good: dict[str, Any] = {"action": [0, 1], "action_probability": [1, 1], "reward": [0, 1]}
    with pytest.raises(InvalidLogError, match="must hold True and False"):
        LoggedDecisions(["a", "b"], **good, eligible=[[1, 0], [value, 1]])
    for kind in (bool, int, float, object):
        log = LoggedDecisions(["a", "b"], **good, eligible=np.array([[1, 0], [1, 1]], dtype=kind))
        assert log.eligible.tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("rows", [[True, False], [9], [1.5], "all", None, 2])
def test_rows_that_are_not_there(rows: Any) -> None:
    """Masks of another length, rows beyond the end, and what is no list are refused."""
    with pytest.raises(InvalidLogError, match="no rows of a log of 4"):
        read(table())[np.array(rows) if isinstance(rows, list) else rows]


@pytest.mark.parametrize("date", ["foo", None, pd.NaT, 5, True])
def test_a_split_needs_a_date(date: Any) -> None:
    """What is no date cuts no log."""
    for cut in (read(table()).split_by_date, read(table()).matured_before):
        with pytest.raises(InvalidLogError, match="date"):
            cut(date)


def test_large_frames_read_fast() -> None:
    """Fifty thousand rows with lists and maps are read in well under a second."""
    n = 50_000
    frame = table().iloc[np.arange(n) % 4].reset_index(drop=True)
    start = time.perf_counter()
    assert len(read(frame)) == n
    assert time.perf_counter() - start < 1.0


def test_all_eligible_is_seen_at_once() -> None:
    """Where everything is eligible all rows are choice rows, unless there is one action only."""
    for k, expected in ((1, False), (2, True)):
        ids = [str(each) for each in range(k)]
        log = LoggedDecisions(ids, np.zeros(3, dtype=int), np.ones(3), np.zeros(3))
        assert log.choice.tolist() == [expected] * 3


def test_dates_as_people_write_them() -> None:
    """Texts are read as dates; plain numbers, which could be any date, are refused."""
    frame = pd.DataFrame({"action_id": ["a", "b"], "action_probability": 0.5, "reward": 0.0})
    for texts in (["2026-01-02", "2026-01-03"], ["20260102", "20260103"]):
        log = LoggedDecisions.from_frame(frame.assign(day=texts), decision_date="day")
        assert list(log.decision_date.astype(str)) == ["2026-01-02", "2026-01-03"]
    with pytest.raises(InvalidLogError, match="could be any date"):
        LoggedDecisions.from_frame(frame.assign(day=20260102), decision_date="day")
    with pytest.raises(InvalidLogError, match="cannot be read as dates"):
        LoggedDecisions.from_frame(frame.assign(day="soon"), decision_date="day")


def test_mistakes_in_a_table_are_named() -> None:
    """Percents, missing actions and columns, paths and texts are told from one another."""
    frame = pd.DataFrame({"action_id": ["a", "b"], "action_probability": 0.5, "reward": 0.0})
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (frame.assign(action_probability=40), {}, "divide percents by 100"),
        (frame.assign(action_id=["a", None]), {}, "must not be missing"),
        (frame.drop(columns="action_probability"), {}, "pass None|did you mean|known here"),
        (frame.assign(reward="no"), {}, "cannot be read as numbers"),
        ("log.csv", {}, "pandas DataFrame"),
        (frame, {"action_ids": "ab"}, "list of different ids"),
        (frame, {"reward": None}, "reward must be given"),
        (frame, {"action": None}, "action must be given"),
        (frame, {"reward_range": 1}, "must be \\(low, high\\)"),
    ]
    for table, settings, said in cases:
        with pytest.raises(InvalidLogError, match=said):
            LoggedDecisions.from_frame(table, **settings)


def test_arrow_tables_are_frames() -> None:
    """A log from an Arrow table, and one with Arrow contexts, is the log from the frame."""
    frame = pd.DataFrame(
        {"action_id": ["a", "b"], "action_probability": 0.5, "reward": [0, 1], "x": [1.5, None]}
    )
    plain = LoggedDecisions.from_frame(frame, features=["x"])
    table = pa.Table.from_pandas(frame)
    found = LoggedDecisions.from_frame(table, features=["x"])
    assert found.contexts is not None
    pd.testing.assert_frame_equal(found.contexts, plain.contexts)
    assert np.array_equal(found.action, plain.action)
    again = LoggedDecisions("ab", [0, 1], [0.5, 0.5], [0, 1], contexts=table.select(["x"]))
    pd.testing.assert_frame_equal(again.contexts, plain.contexts)


def test_frames_by_action_are_read_by_name() -> None:
    """Eligible and distribution frames are put into the actions' order; other columns are refused."""
    eligible = pd.DataFrame({"b": [False, True], "a": [True, True]})
    drawn = pd.DataFrame({"b": [0.0, 0.25], "a": [1.0, 0.75]})
    log = LoggedDecisions("ab", [0, 1], [1.0, 0.25], [0, 1], eligible, distribution=drawn)
    assert log.eligible.tolist() == [[True, False], [True, True]]
    assert log.distribution is not None
    assert log.distribution.tolist() == [[1.0, 0.0], [0.75, 0.25]]
    with pytest.raises(InvalidLogError, match="are not the actions"):
        LoggedDecisions("ab", [0], [1.0], [0], pd.DataFrame({"a": [True], "c": [True]}))


HALVES: dict[str, Any] = {"action": [0, 1], "action_probability": [0.5, 0.5], "reward": [0.0, 1.0]}
STRANGE: dict[str, tuple[dict[str, Any], str]] = {
    "a value under a mask": (
        {"reward": np.ma.masked_array([1.0, 999.0], [False, True])},
        "reward has masked values",
    ),
    "complex numbers": ({"reward": np.array([1 + 2j, 0])}, "reward holds complex numbers"),
    "dates as rewards": (
        {"reward": np.array(["2026-01-01"] * 2, dtype="datetime64[D]")},
        "reward holds dates, not numbers",
    ),
    "spans as rewards": (
        {"reward": np.array([1, 2], dtype="timedelta64[D]")},
        "reward holds spans of time",
    ),
    "spans as dates": (
        {"decision_date": np.array([1, 2], dtype="timedelta64[D]")},
        "decision_date holds spans of time, not dates",
    ),
    "dates as probabilities": (
        {"action_probability": pd.Series(pd.to_datetime(["2026-01-01"] * 2))},
        "action_probability holds dates",
    ),
    "a text as a range": ({"reward_range": "01"}, "reward_range must be"),
    "a map as a range": ({"reward_range": {0: 1, 1: 2}}, "reward_range must be"),
    "a set as a range": ({"reward_range": {0, 1}}, "reward_range must be"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_nothing_is_read_as_something_else(name: str) -> None:
    """Values that numpy would turn into other numbers, or dates, are refused by name and type."""
    given, what = STRANGE[name]
    with pytest.raises(InvalidLogError, match=what):
        LoggedDecisions("ab", **{**HALVES, **given})


def test_whole_numbers_keep_their_order() -> None:
    """Items 0 to 11 are columns 0 to 11, so arrays by item number and frames by item agree."""
    items = np.tile(np.arange(12), 50)
    frame = pd.DataFrame({"action_id": items, "action_probability": 1 / 12, "reward": items == 2})
    log = LoggedDecisions.from_frame(frame)
    assert log.action_ids == tuple(map(str, range(12)))
    assert log.action.tolist() == items.tolist()
    always = np.zeros((600, 12))
    always[:, 2] = 1
    by_item = pd.DataFrame(always, columns=range(12))[range(11, -1, -1)]
    for target in (always, by_item, FixedAction(log.action_ids, 2), FixedAction(range(12), "2")):
        found = evaluate(log, target, estimators=("ips", "dm"), expected_reward=by_item)
        assert found["value"].tolist() == pytest.approx([1.0, 1.0])


def test_rows_of_one_decision_are_refused_or_summed() -> None:
    """As declared; rows that differ in more than the reward, and unknown rewards, are refused."""
    frame = pd.DataFrame(
        {
            "id": ["d1", "d2", "d1"],
            "action_id": ["a", "b", "a"],
            "action_probability": 0.5,
            "reward": [1.0, 0.0, 2.0],
            "age": [20, 30, 20],
        }
    )
    given: dict[str, Any] = {"features": ["age"], "decision_id": "id"}
    with pytest.raises(InvalidLogError, match="decision_id must be there once.*\n.*row 2"):
        LoggedDecisions.from_frame(frame, **given)
    log = LoggedDecisions.from_frame(frame, **given, repeats="sum")
    assert log.reward.tolist() == [3.0, 0.0]
    assert log.action.tolist() == [0, 1]
    assert log.contexts is not None
    assert log.contexts["age"].tolist() == [20, 30]
    with pytest.raises(InvalidLogError, match="'d1' differ in more than reward"):
        LoggedDecisions.from_frame(frame.assign(age=[20, 30, 21]), **given, repeats="sum")
    unknown = frame.assign(reward=[1.0, 0.0, None])
    with pytest.raises(InvalidLogError, match="reward must be a finite number"):
        LoggedDecisions.from_frame(unknown, **given, repeats="sum")
    with pytest.raises(InvalidLogError, match="decision_id must not be missing"):
        LoggedDecisions.from_frame(frame.assign(id=["d1", None, "d3"]), **given)
    with pytest.raises(InvalidLogError, match='repeats must be "refuse" or "sum"'):
        LoggedDecisions.from_frame(frame, **given, repeats="mean")


def test_young_days_are_left_out_whole() -> None:
    """A day counts once all its rewards can have come; the rewards themselves decide nothing."""
    days = pd.to_datetime(["2026-01-05", "2026-01-06", "2026-01-06", "2026-01-07"])
    frame = pd.DataFrame(
        {"action_id": list("abab"), "action_probability": 0.5, "reward": [0, 1, 0, 1], "day": days}
    )
    given: dict[str, Any] = {"features": [], "decision_date": "day", "reward_window": 3}
    kept = [
        len(LoggedDecisions.from_frame(frame, **given, now=now))
        for now in ("2026-01-08", "2026-01-09", "2026-01-10", "2026-01-11")
    ]
    assert kept == [0, 1, 3, 4]
    with pytest.raises(InvalidLogError, match="given together"):
        LoggedDecisions.from_frame(frame, **given)
    for window in (-1, 2.5, True):
        with pytest.raises(InvalidLogError, match="reward_window"):
            LoggedDecisions.from_frame(
                frame, **{**given, "reward_window": window}, now="2026-01-08"
            )


def test_columns_that_are_left_out_are_named() -> None:
    """Without `features` no column becomes a context, not even one that came after the decision."""
    with pytest.warns(UserWarning, match=r"left out are \['age'\]"):
        log = read(table(), features=None)
    assert log.contexts is None


def test_a_printed_log_is_short() -> None:
    """Ten lines at most say what the log holds."""
    lines = str(read(table(), reward_range=(0, 2))).splitlines()
    assert len(lines) <= 10
    assert lines[0] == "4 decisions, 3 with a choice among 3 actions"
    assert "dates: 2026-01-01 to 2026-01-03, 3 days" in lines
    assert "contexts: age" in lines
    assert repr(FixedAction("ab", "a")) == "FixedAction(['a', 'b'], action='a', fallback=None)"


@pytest.mark.parametrize("name", ["action_id", "reward", "age"])
def test_a_column_that_is_there_twice_is_refused(name: str) -> None:
    """Nobody knows which of two columns of one name is meant."""
    frame = table()
    twice = pd.concat([frame, frame[[name]]], axis=1)
    with pytest.raises(InvalidLogError, match=f"the frame has 2 columns '{name}'"):
        read(twice)
