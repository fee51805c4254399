"""The registry: as strict on a laptop as Unity Catalog, and its models stand on their own."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Optional

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from engine.errors import RegistryError
from engine.models.registry import DIGEST, RecipeResult, Registry, Version, signature, zip_code
from engine.writes import watched
from policies import LoggedDecisions, UniformPolicy, VowpalPolicy
from policies.errors import ModelFileError

pytestmark = pytest.mark.integration

IDS = ("no_contact", "mail", "call")
FEATURES = {"x": "double", "plan": "string", "visits": "bigint"}
MODEL = "main.nba.model"


@pytest.mark.unit
@pytest.mark.parametrize("name", ["model", "nba.model", "a.b.c.d", "main.nba.my model", "a/b.c.d"])
def test_a_model_has_three_levels(name: str) -> None:
    """Unity Catalog knows catalog.schema.model, and nothing else."""
    with pytest.raises(RegistryError, match="three-level name") as caught:
        Registry(name, "/x", None)
    assert caught.value.hint == "write catalog.schema.model"


@pytest.mark.unit
def test_a_name_has_its_limits() -> None:
    """Unity Catalog refuses names of more than 255 characters, so they are refused here."""
    assert Registry(f"main.nba.{'m' * 255}", "/x", None).model_name.endswith("m")
    with pytest.raises(RegistryError, match="more than 255 characters"):
        Registry(f"main.nba.{'m' * 256}", "/x", None)


@pytest.mark.unit
def test_a_registry_that_does_not_answer_is_not_an_empty_one() -> None:
    """Only "there is no such thing" means none; whatever else the registry says is an error."""

    class Down:
        """A client whose server is out."""

        def __getattr__(self, _: str) -> Any:
            def ask(*_: Any, **__: Any) -> None:
                raise MlflowException("try later", TEMPORARILY_UNAVAILABLE)

            return ask

    registry = Registry(MODEL, "/x", None)
    registry.client = Down()  # type: ignore[assignment]
    for ask in (registry.versions, lambda: registry.alias("champion")):
        with pytest.raises(MlflowException, match="try later"):
            ask()


@pytest.mark.unit
@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough" * 40, b"SQLite format 3\0"]
)
def test_a_damaged_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """Garbage in the database's place is named, with what to do, and is left as it is."""
    (tmp_path / "mlflow.db").write_bytes(content)
    with pytest.raises(RegistryError, match="damaged") as caught:
        Registry(MODEL, "/x", tmp_path).versions()
    assert "restore it from a backup" in str(caught.value)
    assert (tmp_path / "mlflow.db").read_bytes() == content


@pytest.mark.unit
def test_a_locked_database_is_refused_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another program writes, the error says so instead of waiting for it."""
    monkeypatch.setattr("engine.models.registry.PATIENCE", 0.1)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryError, match="database is locked") as caught:
            Registry(MODEL, "/x", tmp_path).versions()
    assert "end the program" in str(caught.value)


@pytest.mark.unit
def test_a_signature_has_inputs_and_outputs() -> None:
    """Features and eligible actions come in, the decision goes out; columns may be missing."""
    found = signature(FEATURES)
    assert found.inputs.input_names() == [*FEATURES, "eligible_actions"]
    assert found.outputs.input_names() == [
        "action",
        "action_probability",
        "expected_reward",
        "distribution",
    ]
    types = {spec.name: str(spec.type) for spec in found.inputs.inputs}
    assert "long" in types["visits"]
    assert "Array" in types["eligible_actions"]


def contexts(n: int, seed: int = 0) -> pd.DataFrame:
    """n rows of features."""
    random = np.random.default_rng(seed)
    plans = random.choice(["basic", "plus"], n).astype(object)
    return pd.DataFrame(
        {"x": random.normal(size=n), "plan": plans, "visits": random.integers(0, 5, n)}
    )


def fitted() -> VowpalPolicy:
    """A small learned policy."""
    n, random = 600, np.random.default_rng(0)
    shown, action = contexts(n), random.integers(3, size=n)
    reward = (random.random(n) < 0.2 + 0.2 * (shown["x"] > 0) * (action == 1)).astype(float)
    log = LoggedDecisions(IDS, action, np.full(n, 1 / 3), reward, contexts=shown)
    return VowpalPolicy(IDS, learning_rate=0.1).fit(log)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a local run."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def registry(root: Path) -> Registry:
    """The model's versions; a new object each time, as each run makes its own."""
    return Registry(MODEL, "/tests/registry", root)


@pytest.fixture(scope="module")
def versions(root: Path) -> list[Version]:
    """Two versions: a learned policy and a uniform one."""
    registry, made = Registry(MODEL, "/tests/registry", root), []
    for number, policy in enumerate((fitted(), UniformPolicy(IDS)), start=1):
        example = contexts(3).assign(eligible_actions=[list(IDS)] * 3)
        made.append(
            registry.register(
                policy,
                FEATURES,
                example,
                params=policy.params,
                metrics={"selection_low": 0.1 * number},
                tables={"selection": pd.DataFrame({"recipe": ["a"], "low": [0.1]})},
                pictures={"selection": Figure()},
                rivals=[RecipeResult("a", {"passes": 3}, {"selection_low": 0.1})],
                tags={"recipe": f"r{number}", "training_key": "k", "feature_hash": "f"},
            )
        )
    return made


def test_versions_keep_their_order_and_tags(registry: Registry, versions: list[Version]) -> None:
    """Versions count from 1, oldest first, and carry the tags they were registered with."""
    assert registry.versions() == versions
    assert [(each.number, each.tags["recipe"]) for each in versions] == [("1", "r1"), ("2", "r2")]
    assert registry.version("2") == versions[1]


def test_versions_are_found_by_tags(registry: Registry, versions: list[Version]) -> None:
    """All tags must agree; the newest of several is found, and none where none agrees."""
    assert registry.find(training_key="k") == versions[1]
    assert registry.find(training_key="k", recipe="r1") == versions[0]
    assert registry.find(training_key="other") is None
    assert registry.find(absent="k") is None


def test_a_loaded_policy_decides_as_the_saved_one(
    registry: Registry, versions: list[Version]
) -> None:
    """What comes back from the registry gives the very same distributions."""
    shown = contexts(50, seed=1)
    np.testing.assert_array_equal(
        registry.load("1").distribution(shown), fitted().distribution(shown)
    )
    assert registry.load("2").params == UniformPolicy(IDS).params


def test_the_run_shows_how_it_came_about(registry: Registry, versions: list[Version]) -> None:
    """Parameters, metrics and the table of recipes are logged with the model."""
    found = registry.client.get_model_version(MODEL, "1")
    run = registry.client.get_run(found.run_id)
    assert run.data.metrics["selection_low"] == pytest.approx(0.1)
    assert run.data.params["learning_rate"] == "0.1"
    names = [each.path for each in registry.client.list_artifacts(found.run_id)]
    assert {"selection.csv", "selection.png"} <= set(names)


def test_rivals_are_nested_runs(registry: Registry, versions: list[Version]) -> None:
    """Each recipe that was tried is a run of its own below the training's run."""
    parent = registry.client.get_model_version(MODEL, "1").run_id
    experiment = registry.client.get_run(parent).info.experiment_id
    below = f"tags.mlflow.parentRunId = '{parent}'"
    [rival] = registry.client.search_runs([experiment], below)
    assert rival.info.run_name == "a"
    assert rival.data.params == {"passes": "3"}
    assert rival.data.metrics == {"selection_low": 0.1}


def test_a_training_that_registers_nothing_is_remembered(
    registry: Registry, versions: list[Version]
) -> None:
    """Its run is logged, and found by its tags, and there is no version more than before."""
    tags = {"recipe": "poor", "training_key": "came to nothing"}
    assert not registry.has_run(training_key="came to nothing")
    empty: dict[str, Any] = {"tables": {}, "pictures": {}, "rivals": []}
    made = registry.register(None, FEATURES, contexts(3), params={}, metrics={}, tags=tags, **empty)
    assert made is None
    assert registry.has_run(training_key="came to nothing")
    assert registry.has_run(training_key="k", recipe="r1")
    assert registry.versions() == versions


@pytest.mark.parametrize(
    ("policy", "write"),
    [
        (UniformPolicy(IDS), "log_params"),
        (UniformPolicy(IDS), "register_model"),
        (UniformPolicy(IDS), "set_tags"),
        (None, "log_figure"),
        (None, "set_tags"),
    ],
)
def test_a_training_whose_write_failed_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Optional[UniformPolicy], write: str
) -> None:
    """After a failed write the key is done only if the version exists; a retry makes one version."""
    registry, failures = Registry(MODEL, "/tests/registry", tmp_path), []
    working = getattr(mlflow, write)

    def fails_once(*args: Any, **settings: Any) -> Any:
        if not failures:
            failures.append(write)
            raise MlflowException("try later", TEMPORARILY_UNAVAILABLE)
        return working(*args, **settings)

    def done() -> bool:
        return registry.find(training_key="k") is not None or registry.has_run(training_key="k")

    def register() -> None:
        registry.register(
            policy,
            FEATURES,
            contexts(3).assign(eligible_actions=[list(IDS)] * 3),
            params={"seed": 0},
            metrics={"selection_low": 0.1},
            tables={"selection": pd.DataFrame({"recipe": ["a"]})},
            pictures={"selection": Figure()},
            rivals=[],
            tags={"recipe": "r", "training_key": "k"},
        )

    monkeypatch.setattr(mlflow, write, fails_once)
    with pytest.raises(MlflowException, match="try later"):
        register()
    assert done() == bool(registry.versions())
    if not done():
        register()
    assert done()
    assert len(registry.versions()) == (policy is not None)


def test_a_policy_carries_where_it_came_from(registry: Registry, versions: list[Version]) -> None:
    """The saved contract holds the hashes that the version is tagged with."""
    assert registry.load("1").about == {"feature_hash": "f"}


@pytest.fixture
def altered(registry: Registry, versions: list[Version]) -> Iterator[Path]:
    """The folder of version 1's policy, to be altered; put back afterwards."""
    uri = registry.client.get_model_version_download_uri(MODEL, "1")
    path = Path(mlflow.artifacts.download_artifacts(uri)) / "artifacts" / "policy"
    kept = path.with_name("kept")
    shutil.copytree(path, kept)
    yield path
    shutil.rmtree(path, ignore_errors=True)
    kept.rename(path)


def negate(path: Path) -> None:
    """Turn the weights round."""
    np.save(path / "weights.npy", -np.load(path / "weights.npy"))


def replace(path: Path) -> None:
    """Put another sound policy in its place."""
    shutil.rmtree(path)
    UniformPolicy(IDS).save(path, {"feature_hash": "f"})


def resign(path: Path) -> None:
    """Turn the weights round, and save the digests of that."""
    policy = fitted()
    assert policy._scorer is not None
    np.negative(policy._scorer.weights, out=policy._scorer.weights)
    policy.save(path, {"feature_hash": "f"})


@pytest.mark.parametrize(
    ("alter", "file", "serves"),
    [
        (negate, "weights.npy", False),
        (lambda path: (path / "model.vw").write_bytes(b""), "model.vw", False),
        (lambda path: (path / "model.vw").unlink(), "model.vw", False),
        (lambda path: (path / "policy.json").write_text("{"), "policy.json", False),
        (lambda path: (path / "policy.json").unlink(), "policy.json", False),
        (lambda path: (path / "policy.pkl").write_bytes(b"."), "policy.pkl", False),
        (shutil.rmtree, "policy.json", False),
        (lambda path: (path / "policies.zip").write_bytes(b"PK"), "policies.zip", False),
        (replace, "policy.json", True),
        (resign, "policy.json", True),
    ],
)
def test_an_altered_version_is_refused(
    registry: Registry, altered: Path, alter: Callable[[Path], Any], file: str, serves: bool
) -> None:
    """A version is read from the registered files only: all else is refused by version and file.

    The served model has no tag to compare with: a consistent set of other files is served.
    """
    alter(altered)
    with pytest.raises(ModelFileError, match=f"'{file}' of a saved policy") as caught:
        registry.load("1")
    assert caught.value.where == f"{MODEL}:1"
    assert caught.value.hint
    if serves:
        mlflow.pyfunc.load_model(f"models:/{MODEL}/1")
    else:
        with pytest.raises((ModelFileError, OSError), match=file):
            mlflow.pyfunc.load_model(f"models:/{MODEL}/1")


def test_a_version_says_the_digest_of_its_files(
    registry: Registry, versions: list[Version], tmp_path: Path
) -> None:
    """The tag `policy_sha256` is the digest of policy.json, as saving beside the code writes it."""
    folder = tmp_path / "policy"
    zip_code(folder)
    fitted().save(folder, {"feature_hash": "f"})
    digest = hashlib.sha256((folder / "policy.json").read_bytes()).hexdigest()
    assert versions[0].tags[DIGEST] == digest


def test_a_logged_model_has_its_code_in_one_file(
    registry: Registry, versions: list[Version]
) -> None:
    """All of `policies` is one file beside the policy, and nothing of the project's lock is logged."""
    uri = registry.client.get_model_version_download_uri(MODEL, "1")
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    assert {path.name for path in folder.rglob("*.py")} == {"served.py"}
    assert not {"uv.lock", "pyproject.toml"} & {path.name for path in folder.iterdir()}
    with zipfile.ZipFile(folder / "artifacts" / "policy" / "policies.zip") as code:
        assert {"policies/__init__.py", "policies/policy.py"} <= set(code.namelist())
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 250_000


def test_a_deleted_version_leaves_no_files(root: Path, versions: list[Version]) -> None:
    """Files go first: a deletion stopped between files and version is ended by the next one."""
    registry = Registry("main.nba.short_lived", "/tests/registry", root)
    model = registry.client.get_model_version(MODEL, "2")
    mlflow.register_model(model.source, registry.model_name)
    folder = root / "mlartifacts" / model.source.replace(":/", "/")
    copy = shutil.copytree(folder, root / "copy")

    def stopped(write: str) -> None:
        if write == "delete version":
            raise KeyboardInterrupt

    with watched(stopped), pytest.raises(KeyboardInterrupt):
        registry.delete("1")
    assert not folder.exists()
    registry.delete("1")
    assert registry.versions() == []
    shutil.move(copy, folder)


def test_a_version_without_a_digest_is_refused(root: Path, versions: list[Version]) -> None:
    """A version of an older engine, without the tag, is refused, and the hint says what to do."""
    registry = Registry("main.nba.older", "/tests/registry", root)
    source = registry.client.get_model_version(MODEL, "1").source
    mlflow.register_model(source, "main.nba.older")
    with pytest.raises(ModelFileError, match="an older engine") as caught:
        registry.load("1")
    assert "train again" in str(caught.value.hint)


def test_a_registry_that_does_not_answer_refuses_no_model(
    registry: Registry, versions: list[Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed download is an error of its own: nobody falls back because a server is out."""

    def out(*_: Any, **__: Any) -> None:
        raise MlflowException("try later", TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", out)
    with pytest.raises(MlflowException, match="try later"):
        registry.load("1")


def test_the_registered_signature_has_outputs(registry: Registry, versions: list[Version]) -> None:
    """The logged model states what it answers, without which Unity Catalog refuses it."""
    _ = registry.client
    info = mlflow.models.get_model_info(f"models:/{MODEL}/1")
    assert info.signature == signature(FEATURES)


def test_aliases_are_those_of_the_engine(registry: Registry, versions: list[Version]) -> None:
    """Only known aliases can be set, only to versions that exist, and they can be moved."""
    assert registry.alias("staging") is None
    registry.set_alias("staging", "1")
    registry.set_alias("staging", "2")
    assert registry.alias("staging") == "2"
    with pytest.raises(RegistryError, match="'production' is not an alias") as caught:
        registry.set_alias("production", "1")
    assert caught.value.hint == "one of candidate, staging, champion"
    with pytest.raises(RegistryError, match="no version 9") as caught:
        registry.set_alias("champion", "9")
    assert caught.value.hint == "versions: 1, 2"
    for reserved in ("latest", "v1", "V12"):
        with pytest.raises(RegistryError, match="reserved: it already means a version"):
            registry.set_alias(reserved, "1")
    assert registry.alias("champion") is None


def test_a_model_nobody_registered(root: Path) -> None:
    """A model without versions has none, and says so where one is asked for."""
    other = Registry("main.nba.other", "/tests/registry", root)
    assert other.versions() == []
    assert other.find(recipe="r1") is None
    assert other.alias("champion") is None
    with pytest.raises(RegistryError) as caught:
        other.load("1")
    assert caught.value.hint == "versions: none yet"


SERVE = """
import json
import re
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

project, model = sys.argv[1:]

def name_of(requirement):
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0].lower().replace("_", "-")

declared, todo = {"setuptools"}, Path(model, "requirements.txt").read_text().splitlines()
while todo:
    name = name_of(todo.pop())
    if name and name not in declared:
        declared.add(name)
        try:
            todo += [each for each in requires(name) or [] if "extra ==" not in each]
        except PackageNotFoundError:
            pass
owners = packages_distributions()

class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        owned = [name_of(each) for each in owners.get(top, [])]
        if top in ("engine", "simulation") or owned and not declared & set(owned):
            raise ImportError(f"{name} is not installed here")

sys.meta_path = [each for each in sys.meta_path if "editable" not in repr(each).lower()]
sys.meta_path.insert(0, Absent())
sys.path = [each for each in sys.path if each and not each.rstrip("/") == project]
try:
    import policies
except ImportError:
    pass
else:
    raise SystemExit(f"policies is importable without the model: {policies.__file__}")
try:
    import pyspark
except ImportError:
    pass
else:
    raise SystemExit("what is not declared can be imported")
import mlflow
import pandas as pd

loaded = mlflow.pyfunc.load_model(model)
frame = pd.DataFrame(json.loads(sys.stdin.read()))
frame["visits"] = frame["visits"].astype("int64")
answer = loaded.predict(frame)
import policies
print(json.dumps({"from": policies.__file__, "rows": answer.to_dict("records")}))
"""


def test_the_served_model_is_asked_as_people_ask(
    registry: Registry, versions: list[Version]
) -> None:
    """Without eligible actions, or where they are null, all are; an unknown one is an error."""
    _ = registry.client
    served = mlflow.pyfunc.load_model(f"models:/{MODEL}/1")
    shown = contexts(3, seed=2)
    everything = served.predict(shown)
    nulls = served.predict(shown.assign(eligible_actions=[None, ["no_contact"], list(IDS)]))
    assert nulls["distribution"][0] == everything["distribution"][0]
    assert nulls["distribution"][2] == everything["distribution"][2]
    assert nulls["action"][1] == "no_contact"
    with pytest.raises(Exception, match=r"\['maill'\], which this model does not know"):
        served.predict(shown.assign(eligible_actions=[["maill"]] * 3))


@pytest.mark.slow
def test_a_logged_model_serves_where_this_project_is_not(
    registry: Registry, versions: list[Version], repository: Path, tmp_path: Path
) -> None:
    """Where this project is not, the model's own copy answers alike, by declared packages only."""
    uri = registry.client.get_model_version_download_uri(MODEL, "1")
    folder = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "model"))
    shown = contexts(4, seed=1)
    lists = [list(IDS), ["no_contact", "call"], ["no_contact"], list(IDS)]
    asked = json.dumps(shown.assign(eligible_actions=lists).to_dict("list"))
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    arguments: list[Any] = [sys.executable, "-I", script, repository, folder]
    answer = subprocess.run(
        arguments, input=asked, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout.splitlines()[-1])
    assert Path(said["from"]).is_relative_to(folder)
    eligible = np.array([[name in each for name in IDS] for each in lists])
    expected = fitted().distribution(shown, eligible)
    found = [[row["distribution"][name] for name in IDS] for row in said["rows"]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert [row["action"] for row in said["rows"]] == [
        IDS[each] for each in expected.argmax(axis=1)
    ]
