"""The bundle file: what it promises, and what it refuses."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from pathlib import Path

import pytest
import yaml

from engine.bundle.jobs import Bundle
from engine.bundle.resolution import resolve
from engine.errors import BundleError, ConfigError
from engine.local.bundle import read_bundle, resolve_here
from engine.local.validation import validate
from engine.parameters import UNSET, Parameters

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
  place: {description: where, default: here}
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
    """The jobs of the day, of the week and for analysts hold the agreed tasks and run when agreed."""
    jobs = read_bundle(repository / "databricks.yml", "dev").jobs
    assert {key: [each.key for each in job.tasks] for key, job in jobs.items()} == {
        "data_pipeline_job": ["data_generation", "feature_engineering"],
        "training_job": ["model_training"],
        "inference_job": ["batch_inference"],
        "monitoring_job": ["monitoring", "promotion"],
        "nba_job": ["nba"],
        "end_to_end_job": ["data_pipeline", "training", "inference", "monitoring"],
        "housekeeping_job": ["housekeeping"],
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
    assert schedules == {
        "data_pipeline_job": "0 0 6 * * ?",
        "training_job": "0 0 7 * * ?",
        "inference_job": "0 0 8 * * ?",
        "monitoring_job": "0 0 9 * * ?",
        "housekeeping_job": "0 0 11 ? * SUN",
    }


def test_every_job_has_the_eight_parameters_and_hands_them_on(repository: Path) -> None:
    """Parameters are complete, and end_to_end_job passes each one to the jobs it runs."""
    jobs = read_bundle(repository / "databricks.yml", "dev").jobs
    for job in jobs.values():
        own = {"command"} if job.key == "nba_job" else set()
        assert set(job.parameters) == PARAMETERS | own
    for task in jobs["end_to_end_job"].tasks:
        assert task.parameters == {name: f"{{{{job.parameters.{name}}}}}" for name in PARAMETERS}


def test_each_resource_has_a_key_of_its_own(repository: Path) -> None:
    """Keys differ across kinds, since the real program refuses one key for two resources."""
    resources = yaml.safe_load((repository / "databricks.yml").read_text())["resources"]
    keys = [key for kind in resources.values() for key in kind]
    assert len(keys) == len(set(keys))
    for kind in ("schemas", "volumes", "experiments"):
        for body in resources[kind].values():
            assert body["lifecycle"] == {"prevent_destroy": True}


def test_prod_deploys_before_somebody_chose_a_source(repository: Path) -> None:
    """Until prod has a source its runs end at once, with what to do, and never simulate."""
    job = read_bundle(repository / "databricks.yml", "prod").job("training_job")
    values = job.values({}, today=TODAY)
    assert values["source"] == UNSET
    with pytest.raises(ConfigError, match="has no source of customers") as error:
        Parameters.parse(values)
    assert "conf/sources" in str(error.value.hint)
    chosen = read_bundle(repository / "databricks.yml", "prod", {"source": "crm"})
    assert chosen.job("training_job").values({}, today=TODAY)["source"] == "crm"


def test_what_is_deployed_does_not_depend_on_who_deploys(repository: Path) -> None:
    """Staging and prod have one root folder and one identity; only dev follows the user."""
    roots, principals = {}, {}
    for target in ("dev", "staging", "prod"):
        for user in ("ana@example.com", "bo@example.com"):
            read = resolve(repository / "databricks.yml", target, {}, {}, {"current_user": user})
            roots[target, user] = read.root["workspace"]["root_path"].text
            principals[target] = read.root["run_as"]["service_principal_name"].text
    assert roots["dev", "ana@example.com"] != roots["dev", "bo@example.com"]
    for target in ("staging", "prod"):
        assert roots[target, "ana@example.com"] == roots[target, "bo@example.com"]
        assert principals[target]
    assert len(set(roots.values())) == 4


def test_every_job_reports_failures_and_has_its_limits(repository: Path) -> None:
    """Each job says when it fails or is late, ends in time, and tries a failed task again."""
    resolved = resolve_here(repository / "databricks.yml", "prod", {})
    for key, job in resolved.resources("jobs").items():
        body = job.plain()
        assert body["email_notifications"]["on_failure"] == ["nba-engine@example.com"], key
        assert body["health"]["rules"][0]["metric"] == "RUN_DURATION_SECONDS"
        assert body["timeout_seconds"] > 0
        assert body["tags"]
        for task in body["tasks"]:
            asked = key == "nba_job"  # somebody waits for the answer
            assert "run_job_task" in task or task["max_retries"] == (0 if asked else 2)


@pytest.mark.parametrize("moment", ["start_time", "trigger.time"])
def test_the_start_of_the_run_is_filled_in(tmp_path: Path, moment: str) -> None:
    """as_of-like defaults take the run's date, and given values win over defaults."""
    job = small(tmp_path, "start_time", moment, target="prod").job("one")
    assert job.values({}, today=TODAY) == {"day": "2026-03-09", "place": "there"}
    assert job.values({"day": "2026-01-01"}, today=TODAY)["day"] == "2026-01-01"


def test_tasks_run_after_what_they_depend_on(tmp_path: Path) -> None:
    """depends_on decides the order, not the place in the file; run_job_task counts its notebooks."""
    bundle = small(tmp_path)
    assert [each.key for each in bundle.job("one").tasks] == ["first", "second"]
    assert bundle.steps(bundle.job("two")) == 2


@pytest.mark.parametrize(
    ("old", "new", "what", "line"),
    [
        ("notebook_task: {notebook_path", "spark_jar_task: {main", "is a spark_jar_task", 17),
        ("notebook_task: {notebook_path: ./a.py}", "{}", "is a task of no kind", 15),
        ("./a.py", "./b.py", "does not exist", 17),
        ("{task_key: first}", "{task_key: frist}", "unknown task 'frist'", 15),
        ("jobs.one.id", "jobs.on.id", "leads to nothing", 26),
        ("task_key: first}", "task_key: second}", "wait for each other", 10),
        ('{day: "{{job.p', '{days: "{{job.p', "hands 'days' on", 24),
        ("parameters.day}", "parameters.days}", "has no value in a local run", 24),
        ("${var.day}", "${var.dya}", "is not defined", 12),
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


def test_the_jobs_run_on_clusters_as_the_runbook_says(repository: Path, tmp_path: Path) -> None:
    """With the runbook's edit every task runs on a job cluster, and the validator agrees."""
    page = (repository / "docs/runbook.md").read_text(encoding="utf-8")
    shown = page.split("```yaml\n")[1].split("```")[0]
    parts = dict(re.findall(r"  (every_\w+):\n    default: &\w+\n((?:      .+\n)+)", shown))
    text = (repository / "databricks.yml").read_text(encoding="utf-8")
    text = re.sub(r"      environments: &environments\n(?:        .*\n)+", "", text)
    text = text.replace("      environments: *environments\n", "")
    text = text.replace("      environment_key: engine\n", "")
    for name, lines in parts.items():
        text = text.replace(f"    default: &{name}\n", f"    default: &{name}\n{lines}")
    assert set(parts) == {"every_job", "every_task"}
    shutil.copytree(repository / "notebooks", tmp_path / "notebooks")
    (tmp_path / "databricks.yml").write_text(text)
    found = validate(tmp_path / "databricks.yml", "prod", {})
    assert found.resolved is not None
    assert [fault.what for fault in found.faults] == []
    for job in found.resolved.resources("jobs").values():
        for task in job.plain()["tasks"]:
            assert "run_job_task" in task or task["job_cluster_key"] == "engine"
