"""An analyst's notebooks: a study on rows nobody learned from, with pictures and the truth."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.jobs import Study, study
from engine.local.notebook import Dbutils, run_notebook
from engine.refs import PolicyRef
from policies import evaluate

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def made(loop: Any) -> Study:
    """The study of the loop's first day."""
    return study(loop.run_of(loop.first))


def test_its_rows_are_unseen(loop: Any, made: Study) -> None:
    """No row's reward was known to the candidate when it was trained."""
    cut = loop.run_of(loop.first).standing.unseen_from(PolicyRef.parse("1"))
    assert made.log.decision_date is not None
    assert made.log.decision_date.min() >= np.datetime64(cut)
    assert list(made.policies)[:2] == ["candidate", "champion"]
    assert "uniform" in made.policies
    assert sum(name.startswith("fixed:") for name in made.policies) == 1
    assert "business_rules" not in made.policies  # they are the champion


def test_its_truth_is_the_worlds(loop: Any, made: Study) -> None:
    """Beside each estimate stands the simulator's value, overall and day by day."""
    values = made.values(("ips", "dr")).set_index(["policy", "estimator"])
    for name, policy in made.policies.items():
        truth = loop.world.true_value(policy, made.log)
        assert values.loc[(name, "dr"), "truth"] == pytest.approx(truth)
        found = evaluate(made.log, policy, estimators="ips").loc["ips", "value"]
        assert values.loc[(name, "ips"), "value"] == pytest.approx(found)
    days, counts = np.unique(made.log.decision_date, return_counts=True)
    by_day = made.true_by_day("candidate")
    assert len(by_day) == len(days) == len(made.by_day("candidate"))
    assert np.average(by_day, weights=counts) == pytest.approx(
        loop.world.true_value(made.policies["candidate"], made.log)
    )
    assert set(made.against("champion")) == {
        f"{name} − champion" for name in made.policies if name != "champion"
    }


def shown(path: Path, spark: Any, values: dict[str, str], folder: Path) -> tuple[str, str]:
    """What a notebook ends with and prints, its pictures kept in a folder."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        ended = run_notebook(path, spark, Dbutils(values), pictures=folder)
    return ended, printed.getvalue()


def test_the_notebook(loop: Any, repository: Path, tmp_path: Path) -> None:
    """offline_policy_evaluation says what the log can answer and draws four pictures."""
    path = repository / "notebooks" / "offline_policy_evaluation.py"
    ended, printed = shown(path, loop.spark, loop.parameters(loop.first), tmp_path)
    assert ended.startswith("the log says")
    assert "matured decisions" in printed
    assert "truth" in printed
    pictures = sorted(tmp_path.glob("*.png"))
    assert [each.stem for each in pictures] == [f"{path.stem}-{n}" for n in (1, 2, 3, 4)]
    assert all(each.read_bytes().startswith(PNG) for each in pictures)


def test_the_hillstrom_notebook(repository: Path, tmp_path: Path) -> None:
    """hillstrom_evaluation runs on any file with those columns, without Spark."""
    rng, n = np.random.default_rng(0), 4_000
    arms = rng.choice(["Mens E-Mail", "Womens E-Mail", "No E-Mail"], n)
    visit = rng.random(n) < np.where(arms == "Mens E-Mail", 0.4, 0.1)
    table = pd.DataFrame({"segment": arms, "visit": visit * 1, "spend": visit * 20.0})
    for name in ("recency", "history", "mens", "womens", "newbie"):
        table[name] = rng.integers(0, 5, n)
    table["zip_code"], table["channel"] = "Urban", rng.choice(["Web", "Phone"], n)
    file = tmp_path / "log.csv"
    table.to_csv(file, index=False)
    path = repository / "notebooks" / "hillstrom_evaluation.py"
    ended, _ = shown(path, None, {"source_path": str(file)}, tmp_path / "pictures")
    assert "Mens − all three at random: promote" in ended
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2
