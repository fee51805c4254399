"""A bundle is resolved as the databricks command resolves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from engine.bundle.resolution import Resolved, resolve
from engine.documents import DocumentError
from engine.errors import BundleError


def resolved(
    folder: Path,
    text: str,
    target: Optional[str] = "dev",
    given: Optional[dict[str, str]] = None,
    environment: Optional[dict[str, str]] = None,
    **files: str,
) -> Resolved:
    """The bundle with that main file, and other files by name (`__` for a slash, then `.yml`)."""
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".yml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    (folder / "databricks.yml").write_text(text)
    user = {"current_user": "ana.b@example.com"}
    return resolve(folder / "databricks.yml", target, given or {}, environment or {}, user)


def whats(found: Resolved) -> list[str]:
    """What is wrong with a bundle."""
    return [fault.what for fault in found.faults]


TARGETS = "bundle: {name: b}\ntargets: {dev: {default: true}, prod: {}}\n"


def test_a_target_joins_tasks_by_key_and_parameters_by_name(tmp_path: Path) -> None:
    """An override of one task changes that task; every other task and field stays."""
    text = """\
bundle: {name: b}
resources:
  jobs:
    day:
      tags: {team: a}
      parameters:
        - {name: day, default: x}
        - {name: place, default: here}
      tasks:
        - {task_key: one, notebook_task: {notebook_path: ./a.py}, timeout_seconds: 5}
        - {task_key: two, depends_on: [{task_key: one}], notebook_task: {notebook_path: ./b.py}}
targets:
  dev:
    resources:
      jobs:
        day:
          tags: {cost: b}
          parameters: [{name: place, default: there}]
          tasks: [{task_key: two, timeout_seconds: 9}, {task_key: three}]
"""
    job = resolved(tmp_path, text).resources("jobs")["day"].plain()
    assert job["tags"] == {"team": "a", "cost": "b"}
    defaults = {row["name"]: row["default"] for row in job["parameters"]}
    assert defaults == {"day": "x", "place": "there"}
    assert [task["task_key"] for task in job["tasks"]] == ["one", "two", "three"]
    two = job["tasks"][1]
    assert two["timeout_seconds"] == 9
    assert two["depends_on"] == [{"task_key": "one"}]
    assert two["notebook_task"] == {"notebook_path": "./b.py"}


def test_included_files_are_joined_in_order(tmp_path: Path) -> None:
    """Each included file adds to the main one, and places name the file they are in."""
    found = resolved(
        tmp_path,
        "bundle: {name: b}\ninclude: [resources/*.yml]\ntargets: {dev: {}}\n",
        resources__a="resources: {jobs: {one: {name: first}}}\n",
        resources__b="resources:\n  jobs:\n    one: {description: more}\n    two: {name: second}\n",
    )
    jobs = found.resources("jobs")
    assert jobs["one"].plain() == {"name": "first", "description": "more"}
    assert str(jobs["two"].place).startswith(f"{tmp_path}/resources/b.yml:4:5")
    assert [path.name for path in found.files] == ["databricks.yml", "a.yml", "b.yml"]


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("resources/*/*.yml", False),  # one of several depths, of which another matches
        ("resources/missing.yml", True),
        ("resource/*.yml", True),
        ("resources/*.json", True),
        ("/etc/*.yml", True),
        ("notes/readme.txt", True),
    ],
)
def test_an_include_that_matches_nothing_is_a_fault(
    tmp_path: Path, pattern: str, wrong: bool
) -> None:
    """A file or folder that is not there is told with its line; a deeper level may be empty."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/readme.txt").touch()
    text = f"bundle: {{name: b}}\ninclude:\n  - resources/*.yml\n  - {pattern}\ntargets: {{dev: {{}}}}\n"
    found = resolved(tmp_path, text, resources__a="resources: {}\n")
    assert bool(found.faults) == wrong
    assert all((fault.check, fault.place.line) == ("include", 4) for fault in found.faults)


VARIABLES = """\
bundle: {name: b}
variables:
  plain: {default: base}
  nested: {default: "${var.plain}-x"}
  size: {default: 3}
  cluster:
    type: complex
    default: {workers: "${var.size}", spark_conf: {a.b: "1"}}
resources:
  jobs:
    j:
      name: ${bundle.name}-${bundle.target}-${var.nested}
      max_concurrent_runs: ${var.size}
      description: ${workspace.current_user.short_name} ${workspace.file_path}
      job_clusters: [{job_cluster_key: c, new_cluster: "${var.cluster}"}]
      tags: {workers: "${var.cluster.workers}", other: "${resources.jobs.k.name}"}
    k: {name: "k-${resources.jobs.j.id}", description: "${resources.jobs.j.url}"}
targets:
  dev: {variables: {plain: own}}
  prod: {variables: {cluster: {workers: 9}, size: {default: 5}}}
"""


def test_variables_are_filled_in_with_their_kind(tmp_path: Path) -> None:
    """A text that is one reference takes the value's kind; a complex variable is taken whole."""
    job = resolved(tmp_path, VARIABLES).resources("jobs")["j"].plain()
    assert job["name"] == "b-dev-own-x"
    assert job["max_concurrent_runs"] == 3
    root = "/Workspace/Users/ana.b@example.com/.bundle/b/dev"
    assert job["description"] == f"ana_b {root}/files"
    cluster = {"workers": 3, "spark_conf": {"a.b": "1"}}
    assert job["job_clusters"] == [{"job_cluster_key": "c", "new_cluster": cluster}]
    assert job["tags"] == {"workers": 3, "other": "${resources.jobs.k.name}"}
    prod = resolved(tmp_path, VARIABLES, "prod").resources("jobs")["j"].plain()
    assert prod["job_clusters"][0]["new_cluster"] == {"workers": 9}
    assert prod["max_concurrent_runs"] == 5


def test_what_only_a_deployment_knows_stays_a_reference(tmp_path: Path) -> None:
    """A field that no file declares is neither a fault nor a value."""
    found = resolved(tmp_path, VARIABLES)
    assert not found.faults
    jobs = found.answered("jobs")
    assert jobs["k"]["description"].text == "${resources.jobs.j.url}"
    assert jobs["j"]["tags"]["other"].text == "k-j"  # a name is declared; an id is the key here


def test_the_given_value_wins_over_environment_target_and_default(tmp_path: Path) -> None:
    """--var, then BUNDLE_VAR_, then the file of overrides, then the target, then the default."""

    def plain(**where: Any) -> str:
        return resolved(tmp_path, VARIABLES, **where).root["variables"]["plain"].text

    assert plain(target="prod") == "base"
    assert plain() == "own"
    stored = tmp_path / ".databricks" / "bundle" / "dev" / "variable-overrides.json"
    stored.parent.mkdir(parents=True)
    stored.write_text('{"plain": "stored"}')
    assert plain() == "stored"
    assert plain(environment={"plain": "set"}) == "set"
    assert plain(environment={"plain": "set"}, given={"plain": "given"}) == "given"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("${var.plain}", "${var.plian}", "${var.plian} names a variable that is not defined"),
        ("{default: 3}", '{default: "${var.cluster.workers}"}', "leads back to itself"),
        ("{default: base}", "{description: none}", None),
        ("{plain: own}", "{plan: own}", "gives 'plan' a value"),
        ("jobs.k.name", "jobs.q.name", "${resources.jobs.q.name} leads to nothing"),
        ("jobs.k.name", "job.k.name", "${resources.job.k.name} leads to nothing"),
        ("${bundle.name}", "${bundel.name}", "starts with no known section"),
        ("${bundle.target}", "${bundle.targt}", "${bundle.targt} leads to nothing"),
        ("${workspace.file_path}", "${workspace.file}", "${workspace.file} leads to nothing"),
        (
            "dev: {variables: {plain: own}}",
            "dev: {resources: {jobs: {j: [1]}}}",
            "cannot be joined",
        ),
    ],
)
def test_what_leads_nowhere_is_a_fault(
    tmp_path: Path, old: str, new: str, what: Optional[str]
) -> None:
    """A reference, variable or override that cannot be followed is told, once, with a hint."""
    assert old in VARIABLES
    found = resolved(tmp_path, VARIABLES.replace(old, new, 1))
    if what is None:
        assert not found.faults  # the target gives the value
        prod = resolved(tmp_path, VARIABLES.replace(old, new, 1), "prod")
        assert whats(prod) == ["The variable 'plain' has no value in target 'prod'."]
    else:
        assert any(what in fault.what for fault in found.faults)
        assert all(fault.hint and fault.place.line > 1 for fault in found.faults)


def test_references_of_other_programs_stay(tmp_path: Path) -> None:
    """`${HOME}` of a shell and `{{…}}` are not the bundle's."""
    text = TARGETS + 'artifacts: {w: {build: "cd ${HOME} && make ${PARTS.all}"}}\n'
    found = resolved(tmp_path, text)
    assert not found.faults
    assert found.root["artifacts"]["w"]["build"].text == "cd ${HOME} && make ${PARTS.all}"


def test_the_default_target_is_marked_or_the_only_one(tmp_path: Path) -> None:
    """Without a name the marked or only target is taken, and several without a mark are refused."""
    assert resolved(tmp_path, TARGETS, None).target == "dev"
    assert resolved(tmp_path, "bundle: {name: b}\n", None).target == "default"
    with pytest.raises(BundleError, match="2 default targets"):
        resolved(tmp_path, "bundle: {name: b}\ntargets: {a: {}, b: {}}\n", None)
    with pytest.raises(BundleError, match="no target 'prd'") as error:
        resolved(tmp_path, TARGETS, "prd")
    assert error.value.hint == "did you mean 'prod'?"


def test_yaml_slips_have_line_and_column(tmp_path: Path) -> None:
    """A slip in the main file stops; one in an included file is a fault at its place."""
    with pytest.raises(DocumentError) as error:
        resolved(tmp_path, "bundle:\n\tname: b\n")
    assert error.value.where == f"{tmp_path}/databricks.yml:2"
    assert error.value.mark == (2, 1)
    text = "bundle: {name: b}\ninclude: [r/*.yml]\ntargets: {dev: {}}\n"
    found = resolved(tmp_path, text, r__a="resources:\n  jobs:\n    a: {}\n    a: {}\n")
    (fault,) = found.faults
    assert (fault.check, fault.place.line, fault.place.column) == ("yaml", 4, 5)
    assert fault.place.path.name == "a.yml"
