"""Notebooks outside Databricks: what they are given, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import JobError
from engine.local.notebook import Dbutils, run_notebook


def run(folder: Path, body: str) -> str:
    """Run a notebook with that body."""
    path = folder / "notebook.py"
    path.write_text(f"# Databricks notebook source\n{body}")
    dbutils = Dbutils({"as_of": "2026-03-02"})
    return run_notebook(path, "the session", dbutils, pictures=folder)


def test_it_sees_parameters_and_spark_and_ends_with_a_value(tmp_path: Path) -> None:
    """Widgets hold the job's parameters, `spark` is given, and exit's value is returned."""
    body = 'dbutils.notebook.exit(dbutils.widgets.get("as_of") + " " + spark)\nraise ValueError'
    assert run(tmp_path, body) == "2026-03-02 the session"


def test_exit_is_not_an_error(tmp_path: Path) -> None:
    """A notebook that catches exceptions does not swallow its own exit."""
    body = 'try:\n    dbutils.notebook.exit("out")\nexcept Exception:\n    pass\n'
    assert run(tmp_path, body) == "out"


def test_a_declared_default_gives_way_to_the_job(tmp_path: Path) -> None:
    """widgets.text declares a default, which the job's value overrides."""
    body = 'w = dbutils.widgets\nw.text("as_of", "x")\nw.text("new", "y")\n'
    assert (
        run(tmp_path, body + 'dbutils.notebook.exit(w.get("as_of") + w.get("new"))')
        == "2026-03-02y"
    )


def test_task_values_are_kept(tmp_path: Path) -> None:
    """A notebook's task values are kept for later tasks; what is no JSON is refused at once."""
    path = tmp_path / "notebook.py"
    path.write_text('# Databricks notebook source\ndbutils.jobs.taskValues.set("rows", 3)\n')
    dbutils = Dbutils({})
    run_notebook(path, None, dbutils, pictures=tmp_path)
    assert dbutils.values == {"rows": 3}
    with pytest.raises(TypeError):
        dbutils.jobs.taskValues.set("frame", object())
    later = Dbutils({}, {"first": dbutils.values}).jobs.taskValues
    assert later.get(taskKey="first", key="rows") == 3
    assert later.get("first", "none", default="x", debugValue="y") == "x"
    with pytest.raises(JobError, match="'first' has set no value 'none'"):
        later.get("first", "none")


def test_markdown_is_skipped_and_other_magics_are_refused_by_name(tmp_path: Path) -> None:
    """%md cells are comments; any other magic command is an error with its line."""
    assert run(tmp_path, "# MAGIC %md\n# MAGIC # A title\n\n# COMMAND ----------\n") == ""
    with pytest.raises(JobError, match="%pip does not work outside Databricks") as error:
        run(tmp_path, "\n# MAGIC %pip install x\n")
    assert error.value.where == f"{tmp_path}/notebook.py:3"


def test_a_plain_python_file_is_no_notebook(tmp_path: Path) -> None:
    """Without the first line that Databricks writes, a file is refused."""
    (tmp_path / "x.py").write_text("print()\n")
    with pytest.raises(JobError, match="not a notebook in source format"):
        run_notebook(tmp_path / "x.py", None, Dbutils({}), pictures=tmp_path)


def test_a_misspelt_parameter_is_answered(tmp_path: Path) -> None:
    """An unknown widget is an error that names the closest one."""
    with pytest.raises(JobError, match="did you mean 'as_of'"):
        run(tmp_path, 'dbutils.widgets.get("asof")')


def test_display_keeps_figures_and_prints_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A figure becomes a numbered file, a table text; a Spark frame is not computed."""
    path = tmp_path / "study.py"
    path.write_text(
        "# Databricks notebook source\n"
        "import pandas as pd\n"
        "from matplotlib.figure import Figure\n"
        "display(Figure(), pd.DataFrame({'arm': ['mail'], 'value': [0.12345]}), 'a Spark frame')\n"
        "display(Figure())\n"
    )
    run_notebook(path, None, Dbutils({}), pictures=tmp_path / "kept")
    assert {each.name for each in (tmp_path / "kept").iterdir()} == {"study-1.png", "study-2.png"}
    said = capsys.readouterr().out
    assert "mail 0.1235" in said
    assert "study-2.png" in said
    assert "Spark" not in said
