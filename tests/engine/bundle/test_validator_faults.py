"""Every kind of fault in a bundle is found, at its line and by its check; healthy ones pass."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from engine.bundle import schema
from engine.cli.nba import main
from engine.local import validation

BUNDLE = """\
bundle:
  name: shop
  engine: direct
include:
  - resources/*.yml
variables:
  catalog:
    default: shop_dev
  schema:
    default: sales
  zone:
    default: Europe/Madrid
  cluster:
    type: complex
    default:
      spark_version: 17.3.x-scala2.13
      num_workers: 2
artifacts:
  wheel:
    type: whl
    build: uv build --wheel
permissions:
  - {level: CAN_VIEW, group_name: analysts}
resources:
  schemas:
    sales_schema:
      catalog_name: ${var.catalog}
      name: ${var.schema}
      grants:
        - principal: analysts
          privileges: [SELECT]
  volumes:
    files_volume:
      catalog_name: ${resources.schemas.sales_schema.catalog_name}
      schema_name: ${resources.schemas.sales_schema.name}
      name: files
  registered_models:
    best_model:
      catalog_name: ${var.catalog}
      schema_name: ${var.schema}
      name: best
  model_serving_endpoints:
    best_endpoint:
      name: best
      config:
        served_entities:
          - entity_name: shop_dev.sales.best
            entity_version: "1"
            workload_size: Small
            scale_to_zero_enabled: true
  jobs:
    load_job:
      name: load
      max_concurrent_runs: 1
      schedule:
        quartz_cron_expression: "0 30 5 ? * MON-FRI"
        timezone_id: ${var.zone}
      parameters:
        - {name: day, default: "{{job.trigger.time.iso_date}}"}
        - {name: depth, default: "3"}
      environments:
        - environment_key: main
          spec:
            environment_version: "4"
            dependencies:
              - ./dist/*.whl
              - pandas
      job_clusters:
        - job_cluster_key: small
          new_cluster:
            spark_version: 16.4.x-scala2.12
            num_workers: 1
      tasks:
        - task_key: read
          environment_key: main
          notebook_task:
            notebook_path: ./notebooks/read.py
            base_parameters:
              place: shop
        - task_key: enough
          depends_on:
            - task_key: read
          condition_task: {op: GREATER_THAN, left: "{{tasks.read.values.rows}}", right: "0"}
        - task_key: clean
          depends_on:
            - task_key: enough
              outcome: "true"
          job_cluster_key: small
          max_retries: 1
          spark_python_task:
            python_file: ./scripts/clean.py
            parameters: ["--day", "{{job.parameters.day}}"]
    whole_job:
      name: whole
      tasks:
        - task_key: load
          run_job_task:
            job_id: ${resources.jobs.load_job.id}
            job_parameters: {day: "2026-01-01"}
targets:
  dev:
    mode: development
    default: true
    variables:
      schema: sales_${workspace.current_user.short_name}
  prod:
    mode: production
    workspace:
      root_path: /Workspace/shop/${bundle.target}
    run_as:
      service_principal_name: 11111111-2222-3333-4444-555555555555
    variables:
      catalog: shop
      schema: sales
    resources:
      jobs:
        load_job:
          tasks:
            - task_key: clean
              max_retries: 3
"""
INCLUDED = """\
resources:
  jobs:
    report_job:
      name: report
      tasks:
        - task_key: report
          notebook_task:
            notebook_path: ../notebooks/report.sql
            warehouse_id: abc
"""
READ = """\
# Databricks notebook source
dbutils.widgets.text("limit", "10")
day, place = dbutils.widgets.get("day"), dbutils.widgets.get("place")
depth, limit = dbutils.widgets.get("depth"), dbutils.widgets.get("limit")
"""
FILES = {
    "databricks.yml": BUNDLE,
    "resources/report.yml": INCLUDED,
    "notebooks/read.py": READ,
    "notebooks/report.sql": "-- Databricks notebook source\nSELECT 1\n",
    "scripts/clean.py": "print()\n",
}


class Fault(NamedTuple):
    """One edit of the healthy bundle, the check that must find it, and the text at its line."""

    check: str
    old: str
    new: str
    at: str
    file: str = "databricks.yml"
    target: str = "dev"


ORDER = """\
  jobs:
    inference_job:
      name: i
      schedule: {quartz_cron_expression: "0 0 9 * * ?", timezone_id: UTC}
      tasks: [{task_key: t, notebook_task: {notebook_path: ./notebooks/other.py}}]
    monitoring_job:
      name: m
      schedule: {quartz_cron_expression: "0 0 8 * * ?", timezone_id: UTC}
      tasks: [{task_key: t, notebook_task: {notebook_path: ./notebooks/other.py}}]
"""
CRON = '"0 30 5 ? * MON-FRI"'
SP = "      service_principal_name: 11111111-2222-3333-4444-555555555555\n"
FAULTS = {
    # YAML
    "tab": Fault("bundle", "  name: shop", "\tname: shop", "\tname: shop"),
    "duplicate key": Fault("bundle", "  engine: direct", "  name: shop2", "  name: shop2"),
    "unclosed list": Fault("bundle", "[SELECT]", "[SELECT", "  volumes:"),
    "list for a map": Fault("schema", "  name: shop\n  engine: direct", "  - shop", "bundle:"),
    "map for a list": Fault("schema", "  - resources/*.yml", "  a: resources/*.yml", "include:"),
    "duplicate in an include": Fault(
        "yaml",
        "      name: report",
        "      name: a\n      name: b",
        "      name: b",
        "resources/report.yml",
    ),
    "empty include": Fault("yaml", INCLUDED, "", "", "resources/report.yml"),
    # schema
    "unknown section": Fault("schema", "include:", "includes:", "includes:"),
    "jobs outside of resources": Fault(
        "schema", "variables:\n", "jobs: {a: {name: b}}\nvariables:\n", "jobs:"
    ),
    "misspelt job key": Fault(
        "schema", "max_concurrent_runs", "max_concurent_runs", "max_concurent"
    ),
    "misspelt task key": Fault("schema", "max_retries: 1", "max_retrys: 1", "max_retrys"),
    "unknown kind of resource": Fault(
        "schema", "  schemas:\n", "  schema:\n", "  schema:\n    sales"
    ),
    "text for a number": Fault("schema", "num_workers: 1", "num_workers: few", "num_workers: few"),
    "wrong permission level": Fault("schema", "level: CAN_VIEW", "level: CAN_LOOK", "CAN_LOOK"),
    "wrong mode": Fault("schema", "mode: development", "mode: developement", "developement"),
    "wrong engine": Fault("schema", "engine: direct", "engine: pulumi", "pulumi"),
    "wrong run_if": Fault("schema", "max_retries: 1", "run_if: ALWAYS", "run_if"),
    "wrong operator": Fault("schema", "op: GREATER_THAN", "op: MORE_THAN", "MORE_THAN"),
    "scalar for tasks": Fault(
        "schema",
        INCLUDED[INCLUDED.index("tasks:") :],
        "tasks: report\n",
        "tasks: report",
        "resources/report.yml",
    ),
    "missing task_key": Fault(
        "schema",
        "- task_key: report\n          notebook",
        "- notebook",
        "- notebook",
        "resources/report.yml",
    ),
    "missing notebook_path": Fault(
        "schema",
        "            notebook_path: ../notebooks/report.sql\n",
        "",
        "notebook_task",
        "resources/report.yml",
    ),
    # variables and references
    "undefined variable": Fault(
        "reference",
        "name: ${var.schema}\n      grants",
        "name: ${var.shema}\n      grants",
        "${var.shema}",
    ),
    "undefined resource": Fault("reference", "jobs.load_job.id", "jobs.laod_job.id", "laod_job"),
    "undefined kind": Fault(
        "reference", "resources.jobs.load", "resources.job.load", "resources.job.l"
    ),
    "undefined bundle field": Fault(
        "reference", "shop/${bundle.target}", "shop/${bundle.tagret}", "tagret", target="prod"
    ),
    "variable without a value": Fault(
        "variable",
        "  zone:\n    default: Europe/Madrid",
        "  zone:\n    description: none",
        "  zone:",
    ),
    "value of no variable": Fault(
        "variable", "      catalog: shop\n", "      catalogue: shop\n", "catalogue", target="prod"
    ),
    "cycle of variables": Fault(
        "reference", "default: Europe/Madrid", "default: ${var.zone}", "${var.zone}"
    ),
    "include of a missing file": Fault(
        "include", "- resources/*.yml", "- resources/jobs.yml", "resources/jobs.yml"
    ),
    "include of a missing folder": Fault(
        "include", "- resources/*.yml", "- resource/*.yml", "resource/*.yml"
    ),
    "include of no YAML": Fault("include", "- resources/*.yml", "- scripts/*", "- scripts"),
    "override of another form": Fault(
        "override",
        "          tasks:\n            - task_key: clean\n              max_retries: 3\n",
        "          tasks: {clean: 3}\n",
        "{clean: 3}",
        target="prod",
    ),
    # tasks
    "duplicate resource key": Fault(
        "resource keys",
        "    files_volume:",
        "    sales_schema:",
        "    sales_schema:\n      catalog_name: ${res",
    ),
    "unknown depends_on": Fault(
        "dependencies", "            - task_key: read\n", "            - task_key: raed\n", "raed"
    ),
    "task waits for itself": Fault(
        "dependencies",
        "            - task_key: read\n",
        "            - task_key: enough\n",
        "            - task_key: enough",
    ),
    "cycle of tasks": Fault(
        "dependencies",
        "        - task_key: read\n",
        "        - task_key: read\n          depends_on: [{task_key: clean}]\n",
        "          depends_on:\n            - task_key: enough\n",
    ),
    "outcome of no condition": Fault(
        "dependencies",
        "            - task_key: enough\n",
        "            - task_key: read\n",
        "outcome",
    ),
    "duplicate task key": Fault(
        "repeated keys",
        "        - task_key: enough\n",
        "        - task_key: read\n",
        "        - task_key: read\n          depends_on",
    ),
    "duplicate parameter": Fault(
        "repeated keys", "{name: depth", "{name: day", '{name: day, default: "3"'
    ),
    "duplicate environment": Fault(
        "repeated keys",
        "      job_clusters:\n",
        "        - {environment_key: main, spec: {environment_version: '4'}}\n      job_clusters:\n",
        "- {environment_key",
    ),
    "two kinds": Fault(
        "task kinds",
        "          spark_python_task:",
        "          condition_task: {op: EQUAL_TO, left: a, right: b}\n          spark_python_task:",
        "          spark_python_task",
    ),
    "no kind": Fault(
        "task kinds",
        '          run_job_task:\n            job_id: ${resources.jobs.load_job.id}\n            job_parameters: {day: "2026-01-01"}\n',
        "          max_retries: 1\n",
        "        - task_key: load",
    ),
    "job runs itself": Fault(
        "job cycles", "jobs.load_job.id", "jobs.whole_job.id", "jobs.whole_job.id"
    ),
    "jobs run each other": Fault(
        "job cycles",
        '          condition_task: {op: GREATER_THAN, left: "{{tasks.read.values.rows}}", right: "0"}',
        '          run_job_task: {job_id: "${resources.jobs.whole_job.id}"}',
        "${resources.jobs.load_job.id}",
    ),
    "parameter the other job lacks": Fault(
        "jobs that are run", '{day: "2026-01-01"}', '{date: "2026-01-01"}', "{date:"
    ),
    "job without tasks": Fault(
        "empty resources",
        INCLUDED[INCLUDED.index("tasks:") :],
        "tasks: []\n",
        "tasks: []",
        "resources/report.yml",
    ),
    "empty resource": Fault(
        "empty resources",
        "    files_volume:\n      catalog_name: ${resources.schemas.sales_schema.catalog_name}\n      schema_name: ${resources.schemas.sales_schema.name}\n      name: files\n",
        "    files_volume:\n",
        "    files_volume",
    ),
    # schedules
    "five fields": Fault("schedules", CRON, '"30 5 * * *"', '"30 5'),
    "both day fields *": Fault("schedules", CRON, '"0 30 5 * * *"', '"0 30 5 *'),
    "hour 25": Fault("schedules", CRON, '"0 30 25 ? * MON"', " 25 "),
    "nonsense day": Fault("schedules", CRON, '"0 30 5 ? * MOO"', "MOO"),
    "words": Fault("schedules", CRON, '"every day at noon"', "noon"),
    "unknown zone": Fault(
        "time zones", "default: Europe/Madrid", "default: Europe/Madird", "Europe/Madird"
    ),
    "no zone": Fault("time zones", "        timezone_id: ${var.zone}\n", "", "      schedule:"),
    "monitoring before inference": Fault(
        "order of the day",
        INCLUDED[INCLUDED.index("  jobs:") :],
        ORDER.replace("./note", "../note"),
        '"0 0 8 *',
        "resources/report.yml",
    ),
    # compute
    "undefined environment": Fault(
        "compute keys", "          environment_key: main", "          environment_key: mian", "mian"
    ),
    "undefined cluster": Fault(
        "compute keys",
        "          job_cluster_key: small",
        "          job_cluster_key: smal",
        "smal\n",
    ),
    "no runtime": Fault(
        "runtimes", "            spark_version: 16.4.x-scala2.12\n", "", "          new_cluster"
    ),
    "old runtime": Fault("runtimes", "16.4.x-scala2.12", "10.4.x-scala2.12", "10.4"),
    "nonsense runtime": Fault("runtimes", "16.4.x-scala2.12", "latest", "latest"),
    "missing wheel": Fault("libraries", "./dist/*.whl", "./dsit/*.whl", "dsit"),
    "wheel that nothing builds": Fault(
        "libraries",
        "artifacts:\n  wheel:\n    type: whl\n    build: uv build --wheel\n",
        "",
        "./dist",
    ),
    # files
    "missing notebook": Fault("files", "notebooks/read.py", "notebooks/raed.py", "raed.py"),
    "missing script": Fault("files", "scripts/clean.py", "scripts/claen.py", "claen"),
    "no notebook header": Fault(
        "notebook headers",
        "# Databricks notebook source\n",
        "",
        "notebook_path",
        "notebooks/read.py",
    ),
    "no SQL header": Fault(
        "notebook headers",
        "-- Databricks notebook source\n",
        "",
        "notebook_path",
        "notebooks/report.sql",
    ),
    # targets
    "production without run_as": Fault(
        "production", f"    run_as:\n{SP}", "", "    mode: production", target="prod"
    ),
    "production without root_path": Fault(
        "production",
        "    workspace:\n      root_path: /Workspace/shop/${bundle.target}\n",
        "",
        "    mode: production",
        target="prod",
    ),
    "root_path of the deployer": Fault(
        "production",
        "root_path: /Workspace/shop/${bundle.target}\n    run_as:\n" + SP,
        "root_path: /Workspace/Users/${workspace.current_user.userName}/shop\n",
        "      root_path",
        target="prod",
    ),
    "equal root paths": Fault(
        "root paths",
        "    default: true\n",
        "    default: true\n    workspace: {root_path: /Workspace/shop/prod}\n",
        "      root_path",
        target="prod",
    ),
    "equal schemas": Fault(
        "schemas",
        "    mode: development\n    default: true\n    variables:\n      schema: sales_${workspace.current_user.short_name}\n",
        "    mode: production\n    default: true\n    workspace: {root_path: /Workspace/x}\n    run_as: {group_name: a}\n    variables: {catalog: shop}\n",
        "      schema: sales\n",
    ),
    "two identities": Fault(
        "identities", SP, SP + "      user_name: a@b.example\n", "    run_as:", target="prod"
    ),
    "permission for nobody": Fault("identities", ", group_name: analysts}", "}", "level: CAN_VIEW"),
    # content
    "token": Fault("secrets", "place: shop", "place: dapi0123456789abcdef0123456789abcdef", "dapi"),
    "password": Fault("secrets", "place: shop", "password: hunter22", "hunter22"),
    "home folder": Fault(
        "personal paths",
        "/Workspace/shop/${bundle.target}",
        "/Workspace/Users/jane.roe@shop.com/b",
        "jane.roe",
        target="prod",
    ),
    "home of a laptop": Fault(
        "personal paths", "place: shop", "place: /home/jane/data", "/home/jane"
    ),
    "person as identity": Fault(
        "personal names", SP, "      user_name: jane.roe@shop.com\n", "jane.roe", target="prod"
    ),
    "two-level model": Fault(
        "model names", "shop_dev.sales.best", "sales.best", "entity_name: sales.best"
    ),
    "declared alias": Fault(
        "model aliases",
        "      name: best\n  model",
        "      name: best\n      aliases: [{alias_name: champion, version_num: 1}]\n  model",
        "      aliases",
    ),
    # parameters
    "misspelt job reference": Fault(
        "dynamic references", "{{job.parameters.day}}", "{{job.parameter.day}}", "job.parameter.day"
    ),
    "undefined job parameter": Fault(
        "dynamic references", "{{job.parameters.day}}", "{{job.parameters.dya}}", "dya"
    ),
    "undefined task": Fault("dynamic references", "{{tasks.read.", "{{tasks.raed.", "raed"),
    "misspelt moment": Fault("dynamic references", "time.iso_date}}", "time.isodate}}", "isodate"),
    "parameter nobody passes": Fault(
        "parameters not passed",
        "              place: shop\n",
        "              limit: '5'\n",
        "notebook_path: ./notebooks/read.py",
    ),
    "parameter nobody reads": Fault(
        "parameters not read",
        "              place: shop\n",
        "              place: shop\n              size: '1'\n",
        "              size",
    ),
}


def written(folder: Path, files: dict[str, str]) -> Path:
    """The files in a folder; the path of the main one."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "databricks.yml"


def failed(path: Path, target: str) -> list[tuple[str, str]]:
    """Check and place of everything that is wrong."""
    checks = validation.bundle_checks(path, target, verbose=False)
    return [(check.subject, check.where) for check in checks if check.answer == "FAILED"]


def line_of(text: str, part: str) -> int:
    """The line of the first character of a part that is no blank."""
    at = text.index(part) + len(part) - len(part.lstrip(" "))
    return text.count("\n", 0, at) + 1


def wrong(name: str) -> dict[str, str]:
    """The files with that fault."""
    fault = FAULTS[name]
    assert fault.old in FILES[fault.file], name
    return {**FILES, fault.file: FILES[fault.file].replace(fault.old, fault.new, 1)}


needs_types = pytest.mark.skipif(not schema.available(), reason="types need Python 3.10")


@needs_types
def test_there_are_many_kinds_of_faults() -> None:
    """Every check has a fault that it must find."""
    assert len(FAULTS) >= 60
    rules = {rule.name for rule in validation.RULES} - {"requirements in step"}
    assert rules <= {fault.check for fault in FAULTS.values()}


@pytest.mark.parametrize("target", ["dev", "prod"])
def test_the_healthy_bundle_passes(tmp_path: Path, target: str) -> None:
    """Without a fault nothing is found."""
    assert failed(written(tmp_path, FILES), target) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_at_its_line(tmp_path: Path, name: str) -> None:
    """The check of that kind finds it, in the file and line where it stands."""
    fault, files = FAULTS[name], wrong(name)
    if fault.check == "schema" and not schema.available():
        pytest.skip("types need Python 3.10")
    path = written(tmp_path, files)
    file = "databricks.yml" if fault.file.startswith("notebooks") else fault.file
    file = "resources/report.yml" if fault.file.endswith(".sql") else file
    place = f"{tmp_path / file}:{line_of(files[file], fault.at)}:"
    found = failed(path, fault.target)
    assert any(check == fault.check and where.startswith(place) for check, where in found), found


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_a_hint_and_no_exception(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with exit code 1, place and hint, and never with an exception's name."""
    written(tmp_path, wrong(name))
    if FAULTS[name].check == "schema" and not schema.available():
        pytest.skip("types need Python 3.10")
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(main, ["validate-bundle", FAULTS[name].target])
    assert answer.exit_code == 1
    lines = [line for line in answer.output.splitlines() if line.startswith("FAILED")]
    assert lines
    assert all(re.search(r"; in [\w./]+\.\w+:\d+:\d+", line) for line in lines), lines
    assert all("; Hint: " in line for line in lines)
    assert not re.search(r"Error:|Exception|Traceback", answer.output)


WRONG = (None, "x", 3, [], {}, [1], {"a": {"b": [1]}}, [[1]], [{"a": 1}], "${var.cluster}", "")


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The key path of every value."""
    if at:
        yield at
    inner = list(enumerate(data)) if isinstance(data, list) else []
    for key, value in data.items() if isinstance(data, dict) else inner:
        yield from places(value, (*at, key))


@pytest.mark.parametrize("section", yaml.safe_load(BUNDLE))
def test_a_value_of_any_wrong_form_ends_in_no_exception(tmp_path: Path, section: str) -> None:
    """Whatever stands in a value's place, the validator answers."""
    path = written(tmp_path, FILES)
    for at in places(yaml.safe_load(BUNDLE)[section], (section,)):
        for value in WRONG[len(str(at)) % 3 :: 3]:
            data = yaml.safe_load(BUNDLE)
            inner = data
            for key in at[:-1]:
                inner = inner[key]
            inner[at[-1]] = value
            path.write_text(yaml.safe_dump(data, sort_keys=False))
            assert list(validation.bundle_checks(path, "dev", verbose=False))


def bundles() -> list[Path]:
    """The healthy bundles that lie beside this file."""
    return sorted((Path(__file__).parent / "healthy").glob("*/databricks.yml"))


@pytest.mark.parametrize("path", bundles(), ids=lambda path: path.parent.name)
def test_healthy_bundles_of_other_kinds_pass(path: Path) -> None:
    """No false alarm on bundles as the documentation shows them, in each of their targets."""
    root = validation.resolve_here(path, None, {}).root
    for target in list(root["targets"].items) or ["default"]:
        assert failed(path, target) == [], target


FIXED = {
    "misspelt job key": "max_concurrent_runs: 1",
    "misspelt task key": "max_retries: 1",
    "wrong mode": "mode: development",
    "unknown section": "include:\n",
    "undefined variable": "name: ${var.schema}\n      grants",
    "undefined resource": "${resources.jobs.load_job.id}",
    "unknown depends_on": "            - task_key: read\n",
    "five fields": '"0 30 5 * * ?"',
    "both day fields *": '"0 30 5 * * ?"',
    "unknown zone": "default: Europe/Madrid",
    "undefined environment": "environment_key: main",
    "missing notebook": "./notebooks/read.py",
    "no notebook header": "",
    "declared alias": "      name: best\n  model",
    "misspelt job reference": "{{job.parameters.day}}",
    "undefined task": "{{tasks.read.values.rows}}",
}


@needs_types
@pytest.mark.parametrize("name", FIXED)
def test_a_fix_restores_the_one_right_text(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--fix mends a slip, keeps every other character, and finds nothing the second time."""
    files = wrong(name)
    files["databricks.yml"] = "# kept\n" + files["databricks.yml"] + "# kept, too   \n"
    path = written(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    target = FAULTS[name].target
    answer = CliRunner().invoke(main, ["validate-bundle", target, "--fix", "--format", "json"])
    assert answer.exit_code == 0, answer.output
    assert len(json.loads(answer.stdout)["fixed"]) >= 1
    assert FIXED[name] in path.read_text()
    mended = {file: (tmp_path / file).read_text() for file in files}
    if name not in ("five fields", "both day fields *"):  # these had another healthy text
        assert mended == {**FILES, "databricks.yml": f"# kept\n{BUNDLE}# kept, too   \n"}
    assert CliRunner().invoke(main, ["validate-bundle", target, "--fix"]).exit_code == 0
    assert mended == {file: (tmp_path / file).read_text() for file in files}


def test_what_has_several_answers_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--fix changes nothing where two names are close, and where a person must decide."""
    for name in ("production without run_as", "nonsense runtime", "hour 25", "equal root paths"):
        files = wrong(name)
        written(tmp_path, files)
        monkeypatch.chdir(tmp_path)
        answer = CliRunner().invoke(main, ["validate-bundle", FAULTS[name].target, "--fix"])
        assert answer.exit_code == 1
        assert "fixed" not in answer.output
        assert all((tmp_path / file).read_text() == text for file, text in files.items())
