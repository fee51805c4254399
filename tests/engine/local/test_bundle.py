"""The bundle file: what it promises, and what it refuses."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from engine.errors import BundleError
from engine.local.bundle import Bundle, read_bundle

TODAY = dt.date(2026, 3, 9)
PARAMETERS = {
    "catalog",
    "schema",
    "as_of",
    "source",
    "source_path",
    "conf_dir",
    "volume",
    "experiment",
}
SMALL = """\
bundle: {name: small}
variables:
  day: {default: "{{job.start_time.iso_date}}"}
  place: {description: no value}
targets:
  dev: {default: true}
  prod: {variables: {place: there}}
resources:
  jobs:
    one:
      parameters:
        - {name: day, default: "${var.day}"}
        - {name: place, default: "${var.place}"}
      tasks:
        - task_key: second
          depends_on: [{task_key: first}]
          notebook_task: {notebook_path: ./a.py}
        - task_key: first
          notebook_task: {notebook_path: ./a.py}
    two:
      parameters:
        - {name: day, default: "${var.day}"}
      tasks:
        - task_key: whole
          run_job_task:
            job_id: ${resources.jobs.one.id}
            job_parameters: {day: "{{job.parameters.day}}"}
"""


def small(folder: Path, old: str = "", new: str = "", target: str = "dev") -> Bundle:
    """The small bundle with one change."""
    assert old in SMALL
    (folder / "a.py").write_text("# Databricks notebook source\n")
    (folder / "databricks.yml").write_text(SMALL.replace(old, new, 1) if old else SMALL)
    return read_bundle(folder / "databricks.yml", target)


@pytest.mark.parametrize(
    ("target", "catalog", "schema"),
    [
        ("dev", "juan_dev", "ml_nba_demo_dev"),
        ("staging", "juan_dev", "ml_nba_demo_staging"),
        ("prod", "prod", "ml_nba_demo"),
    ],
)
def test_targets_have_their_catalog_and_schema(
    repository: Path, target: str, catalog: str, schema: str
) -> None:
    """Each target writes to the schema that is its contract."""
    bundle = read_bundle(repository / "databricks.yml", target)
    assert bundle.schemas == (f"{catalog}.{schema}",)
    for job in bundle.jobs.values():
        assert (job.parameters["catalog"], job.parameters["schema"]) == (catalog, schema)


def test_each_target_has_its_own_experiment(repository: Path) -> None:
    """Runs of different targets never meet in one experiment."""
    read = [read_bundle(repository / "databricks.yml", each) for each in ("dev", "staging", "prod")]
    assert len({each.jobs["training_job"].parameters["experiment"] for each in read}) == 3


def test_the_jobs_their_tasks_and_schedules_are_as_agreed(repository: Path) -> None:
    """The five jobs of the day, and two for analysts, hold the agreed tasks and run when agreed."""
    jobs = read_bundle(repository / "databricks.yml", "dev").jobs
    assert {key: [each.key for each in job.tasks] for key, job in jobs.items()} == {
        "data_pipeline_job": ["data_generation", "feature_engineering"],
        "training_job": ["model_training"],
        "inference_job": ["batch_inference"],
        "monitoring_job": ["monitoring", "promotion"],
        "end_to_end_job": ["data_pipeline", "training", "inference", "monitoring"],
        "evaluation_job": ["offline_policy_evaluation"],
        "hillstrom_job": ["hillstrom_evaluation"],
    }
    assert [each.run_job for each in jobs["end_to_end_job"].tasks] == [
        "data_pipeline_job",
        "training_job",
        "inference_job",
        "monitoring_job",
    ]
    schedules = {key: job.schedule for key, job in jobs.items() if job.schedule}
    assert schedules == {"inference_job": "0 0 8 * * ?", "monitoring_job": "0 0 9 * * ?"}


def test_every_job_has_the_eight_parameters_and_hands_them_on(repository: Path) -> None:
    """Parameters are complete, and end_to_end_job passes each one to the jobs it runs."""
    jobs = read_bundle(repository / "databricks.yml", "dev").jobs
    for job in jobs.values():
        assert set(job.parameters) == PARAMETERS
    for task in jobs["end_to_end_job"].tasks:
        assert task.parameters == {name: f"{{{{job.parameters.{name}}}}}" for name in PARAMETERS}


def test_prod_asks_for_a_source(repository: Path) -> None:
    """Nothing runs in prod on a source that nobody chose."""
    job = read_bundle(repository / "databricks.yml", "prod").job("training_job")
    with pytest.raises(BundleError, match="'source' of training_job has no value"):
        job.values({}, today=TODAY)
    assert job.values({"source": "crm"}, today=TODAY)["source"] == "crm"


def test_the_start_of_the_run_is_filled_in(tmp_path: Path) -> None:
    """as_of-like defaults take the run's date, and given values win over defaults."""
    job = small(tmp_path, target="prod").job("one")
    assert job.values({}, today=TODAY) == {"day": "2026-03-09", "place": "there"}
    assert job.values({"day": "2026-01-01"}, today=TODAY)["day"] == "2026-01-01"


def test_tasks_run_after_what_they_depend_on(tmp_path: Path) -> None:
    """depends_on decides the order, not the place in the file; run_job_task counts its notebooks."""
    bundle = small(tmp_path)
    assert [each.key for each in bundle.job("one").tasks] == ["first", "second"]
    assert bundle.notebooks(bundle.job("two")) == 2


@pytest.mark.parametrize(
    ("old", "new", "what", "line"),
    [
        ("notebook_task: {notebook_path", "spark_jar_task: {main", "is a spark_jar_task", 17),
        ("notebook_task: {notebook_path: ./a.py}", "{}", "is a task of no kind", 15),
        ("./a.py", "./b.py", "does not exist", 17),
        ("{task_key: first}", "{task_key: frist}", "unknown task 'frist'", 15),
        ("jobs.one.id", "jobs.on.id", "refers to nothing", 26),
        ("task_key: first}", "task_key: second}", "wait for each other", 10),
        ('{day: "{{job.p', '{days: "{{job.p', "hands 'days' on", 24),
        ("parameters.day}", "parameters.days}", "has no value in a local run", 24),
        ("${var.day}", "${var.dya}", "refers to nothing", 12),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name_and_line(
    tmp_path: Path, old: str, new: str, what: str, line: int
) -> None:
    """A mistake in the file is an error that says what it is, on which line, and a hint."""
    if new == "{}":
        old, new = f"\n          {old}", ""
    with pytest.raises(BundleError) as error:
        small(tmp_path, old, new)
    assert what in error.value.what
    assert error.value.where is not None
    assert error.value.where.startswith(f"{tmp_path}/databricks.yml:{line}")
    assert error.value.hint


def test_jobs_that_run_each_other_are_refused(tmp_path: Path) -> None:
    """A loop over run_job_task is found before anything runs."""
    loop = 'run_job_task: {job_id: "${resources.jobs.two.id}"}'
    with pytest.raises(BundleError, match="run each other: one → two → one"):
        small(tmp_path, "notebook_task: {notebook_path: ./a.py}", loop)


def test_unknown_names_are_answered_with_the_closest_one(tmp_path: Path) -> None:
    """Target, job and parameter: each unknown name gets a suggestion."""
    bundle = small(tmp_path)
    with pytest.raises(BundleError, match="did you mean 'one'"):
        bundle.job("ones")
    with pytest.raises(BundleError, match="did you mean 'place'"):
        bundle.job("one").values({"plase": "x"}, today=TODAY)
    with pytest.raises(BundleError, match="did you mean 'prod'"):
        small(tmp_path, target="prd")
