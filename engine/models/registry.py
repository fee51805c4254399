"""The model registry: versions, their tags and aliases; locally as strict as Unity Catalog."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Optional

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array, Map

import policies
from engine import environment
from engine.errors import RegistryError
from engine.models import served
from engine.writes import announce
from policies import Policy, load_policy
from policies.errors import located
from policies.model_files import FILE, file_digest, refused

ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
ABSENT_LOCALLY = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # sqlite's words
ANSWERS_AT_ONCE = 8  # requests for tags that wait for Unity Catalog together
ALIASES = ("candidate", "staging", "champion")
READY = "READY"  # a version whose files have all arrived
RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)  # aliases that mean a version already
MOST_CHARACTERS = 255
PATIENCE = 2.0  # seconds for another program to end its write to the local database
DIGEST = "policy_sha256"  # tag of a version: the digest of policy.json, which holds all others
_OURS = {"engine.stage": "model_training"}  # tag of the runs that a training starts
_REQUIREMENTS = [
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "sqlglot",
    "vowpalwabbit",
]
_TYPES = {"string": DataType.string, "boolean": DataType.boolean, "bigint": DataType.long}


@dataclass(frozen=True)
class Version:
    """One registered version, and the tags that say how it was trained."""

    number: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RecipeResult:
    """One recipe of a selection: its name, settings and estimates."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]


class Registry:
    """The versions and aliases of one model.

    Args:
        model_name: three levels, `catalog.schema.model`.
        experiment: path of the MLflow experiment that runs are logged to.
        local_root: folder of a local run (sqlite and artifacts live there); None on Databricks.

    Raises:
        RegistryError: Unity Catalog would refuse the name: it has not exactly three plain levels,
            or one of more than 255 characters.
    """

    def __init__(self, model_name: str, experiment: str, local_root: Optional[Path]) -> None:
        if not re.fullmatch(r"[^./\s]+(\.[^./\s]+){2}", model_name):
            raise RegistryError(
                f"{model_name!r} is not a three-level name.", hint="write catalog.schema.model"
            )
        if max(map(len, model_name.split("."))) > MOST_CHARACTERS:
            raise RegistryError(
                f"A level of {model_name[:40]!r}… has more than {MOST_CHARACTERS} characters.",
                hint="shorten the name",
            )
        self.model_name, self.experiment, self.local_root = model_name, experiment, local_root

    @property
    def place(self) -> str:
        """Where the registry is, for messages."""
        return "Unity Catalog" if self.local_root is None else str(self.local_root / "mlflow.db")

    @cached_property
    def client(self) -> mlflow.MlflowClient:
        """The client, connected at first use."""
        environment.provide(MLFLOW_UV_AUTO_DETECT="false")  # else each model gets a copy of uv.lock
        if self.local_root is None:
            mlflow.set_registry_uri("databricks-uc")
            return mlflow.MlflowClient()
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        root = self.local_root.resolve()
        root.mkdir(parents=True, exist_ok=True)
        _check_database(root / "mlflow.db")
        mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
        mlflow.set_registry_uri(f"sqlite:///{root}/mlflow.db")
        if mlflow.get_experiment_by_name(self.experiment) is None:
            mlflow.create_experiment(self.experiment, (root / "mlartifacts").as_uri())
        return mlflow.MlflowClient()

    def versions(self) -> list[Version]:
        """All versions whose registration has ended, oldest first."""
        rows: list[Any] = []
        token: Optional[str] = None
        try:
            while True:
                asked = f"name='{self.model_name}'"
                page = self.client.search_model_versions(asked, page_token=token)
                rows, token = [*rows, *page], page.token
                if not token:
                    break
        except MlflowException as error:  # Unity Catalog's answer where sqlite gives no rows
            self._only_absent(error)
            return []
        rows = [row for row in rows if row.status == READY]
        if self.local_root is None:  # its search leaves the tags out
            with ThreadPoolExecutor(ANSWERS_AT_ONCE) as pool:
                rows = [row for row in pool.map(self._with_tags, rows) if row is not None]
        versions = [Version(str(row.version), dict(row.tags)) for row in rows]
        return sorted(versions, key=lambda version: int(version.number))

    def _with_tags(self, found: Any) -> Any:
        """A version with its tags; None where it was deleted since the search."""
        try:
            return self.client.get_model_version(self.model_name, str(found.version))
        except MlflowException as error:
            self._only_absent(error)
            return None

    def version(self, number: str) -> Version:
        """One version.

        Raises:
            RegistryError: there is no such version.
        """
        versions = {version.number: version for version in self.versions()}
        if str(number) not in versions:
            hint = f"versions: {', '.join(versions) or 'none yet'}"
            raise RegistryError(f"{self.model_name} has no version {number}.", hint=hint)
        return versions[str(number)]

    def find(self, **tags: str) -> Optional[Version]:
        """The newest version that carries all these tags."""
        matching = [
            version for version in self.versions() if tags.items() <= dict(version.tags).items()
        ]
        return matching[-1] if matching else None

    def has_run(self, **tags: str) -> bool:
        """True if a finished run with these tags exists (registered or not)."""
        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return False
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        condition = " and ".join(["attributes.status = 'FINISHED'", *conditions])
        return bool(self.client.search_runs([experiment.experiment_id], condition, max_results=1))

    def stopped_runs(self) -> list[str]:
        """Ids of training runs that a stopped process left as running.

        Only one training runs at a time, and this is asked before it starts.
        """
        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return []
        (name, value), *_ = _OURS.items()
        asked = f"attributes.status = 'RUNNING' and tags.`{name}` = '{value}'"
        runs = self.client.search_runs([experiment.experiment_id], asked)
        return [run.info.run_id for run in runs]

    def end_stopped_runs(self) -> int:
        """Mark these runs as killed; how many."""
        stopped = self.stopped_runs()
        for run_id in stopped:
            announce("end a stopped run")
            self.client.set_terminated(run_id, "KILLED")
        return len(stopped)

    def alias(self, alias: str) -> Optional[str]:
        """The version an alias points to right now."""
        try:
            return str(self.client.get_model_version_by_alias(self.model_name, alias).version)
        except MlflowException as error:
            self._only_absent(error)
            return None

    def set_alias(self, alias: str, number: str) -> None:
        """Point an alias to a version. Only promotion and training do so, and they record it.

        Raises:
            RegistryError: Unity Catalog would refuse the name, or the version does not exist.
        """
        if alias not in ALIASES:
            what = f"{alias!r} is not an alias of this engine."
            if RESERVED.fullmatch(alias):
                what = f"The alias {alias!r} is reserved: it already means a version."
            raise RegistryError(what, hint=f"one of {', '.join(ALIASES)}")
        self.version(number)
        announce(f"set alias {alias}")
        self.client.set_registered_model_alias(self.model_name, alias, str(number))

    def set_tag(self, number: str, name: str, value: str) -> None:
        """Set a tag of a version, which copies the record in a table."""
        announce(f"set tag {name}")
        self.client.set_model_version_tag(self.model_name, number, name, value)

    def delete(self, number: str) -> None:
        """Delete a version and the files logged with it; its run stays.

        The version goes last, so that a run stopped between the two finds it again.
        """
        source = str(self.client.get_model_version(self.model_name, number).source)
        if found := re.search(r"m-[0-9a-f]{32}", source):  # MLflow's name of the logged model
            model = found.group()
            announce("delete model files")
            try:
                self.client.delete_logged_model(model)
            except MlflowException as error:  # deleted before the run was stopped
                self._only_absent(error)
            if self.local_root:
                shutil.rmtree(self.local_root / "mlartifacts" / "models" / model, True)
        announce("delete version")
        self.client.delete_model_version(self.model_name, number)

    def load(self, number: str) -> Policy:
        """The policy of a version, read only from the files that were registered.

        Raises:
            RegistryError: there is no such version.
            ModelFileError: its files are not there or not those that were registered.
        """
        registered = self.version(number).tags.get(DIGEST, "unknown: an older engine made it")
        uri = f"models:/{self.model_name}/{number}/artifacts/policy"
        with tempfile.TemporaryDirectory() as folder, located(f"{self.model_name}:{number}"):
            try:
                there = None if self.local_root else folder  # None: where the files are
                path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=there))
            except MlflowException as error:
                self._only_absent(error)
                raise refused(Path(uri), FILE, "is not there") from error
            if file_digest(path) != registered:
                raise refused(path, FILE, f"is not the one registered (sha256 {registered})")
            return load_policy(path)

    def register(
        self,
        policy: Optional[Policy],
        features: Mapping[str, str],
        example: pd.DataFrame,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tables: Mapping[str, pd.DataFrame],
        pictures: Mapping[str, Figure],
        rivals: Sequence[RecipeResult],
        tags: Mapping[str, str],
    ) -> Optional[Version]:
        """Log a training run, and register its policy as the next version.

        The run gets its tags last: one that failed or was stopped before leaves nothing that
        `find` or `has_run` takes for done, and the next training makes up for it.

        Args:
            policy: a fitted policy; None logs the run alone.
            features: context columns with SQL types; they and `eligible_actions` are the inputs.
            example: a few rows of contexts.
            params, metrics, tables, pictures: logged with the run.
            rivals: the recipes it was chosen from, each logged as a nested run.
            tags: of run and version; they say which log, days, features and code were used. The
                version gets `policy_sha256` besides.
        """
        client = self.client
        mlflow.set_experiment(self.experiment)
        self.end_stopped_runs()
        announce("start run")
        with mlflow.start_run(run_name=tags.get("recipe"), tags=_OURS):
            announce("log params and metrics")
            mlflow.log_params(dict(params))
            mlflow.log_metrics(dict(metrics))
            for name, table in tables.items():
                announce(f"log {name}.csv")
                mlflow.log_text(table.to_csv(index=False), f"{name}.csv")
            for name, picture in pictures.items():
                announce(f"log {name}.png")
                mlflow.log_figure(picture, f"{name}.png")
            for rival in rivals:
                announce(f"log recipe {rival.name}")
                with mlflow.start_run(run_name=rival.name, nested=True, tags=_OURS):
                    mlflow.log_params(dict(rival.params))
                    mlflow.log_metrics(dict(rival.metrics))
            made = None
            if policy is not None:
                announce("log model")
                logged = self._log_model(policy, features, example, tags)
                noted = {**tags, **logged.metadata}
                announce("register version")
                made = mlflow.register_model(logged.model_uri, self.model_name, tags=noted)
            announce("set tags of run")
            mlflow.set_tags(dict(tags))
            announce("finish run")
        if made is None:
            return None
        return self.version(str(client.get_model_version(self.model_name, made.version).version))

    def _only_absent(self, error: MlflowException) -> None:
        """Raise every error but "there is no such thing"."""
        if error.error_code not in (ABSENT if self.local_root is None else ABSENT_LOCALLY):
            raise error

    def _log_model(
        self,
        policy: Policy,
        features: Mapping[str, str],
        example: pd.DataFrame,
        tags: Mapping[str, str],
    ) -> Any:
        about = {name: value for name, value in tags.items() if name.endswith("_hash")}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "policy"
            zip_code(path)
            policy.save(path, about)
            return mlflow.pyfunc.log_model(
                name="model",
                python_model=served.__file__,
                artifacts={"policy": str(path)},
                signature=signature(features),
                input_example=example,
                pip_requirements=[f"{name}=={installed(name)}" for name in _REQUIREMENTS],
                metadata={DIGEST: file_digest(path)},
            )


def zip_code(path: Path) -> None:
    """Write the package `policies` beside a policy as one file; the same code gives the same bytes.

    `policy.json` then holds its sha256, too.
    """
    package = Path(policies.__file__).parent
    path.mkdir()
    with zipfile.ZipFile(path / served.CODE.name, "w") as archive:
        for file in sorted(package.rglob("*.py")):
            entry = zipfile.ZipInfo(file.relative_to(package.parent).as_posix())
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def signature(features: Mapping[str, str]) -> ModelSignature:
    """Inputs are the features and the eligible actions; Unity Catalog requires outputs, too."""
    inputs = [
        ColSpec(_TYPES.get(kind, DataType.double), name, required=False)
        for name, kind in features.items()
    ]
    inputs.append(ColSpec(Array(DataType.string), "eligible_actions", required=False))
    outputs = [
        ColSpec(DataType.string, "action"),
        ColSpec(DataType.double, "action_probability"),
        ColSpec(DataType.double, "expected_reward"),
        ColSpec(Map(DataType.double), "distribution"),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _check_database(path: Path) -> None:
    """Refuse a database that MLflow would wait for, or fail on in words of its own.

    Raises:
        RegistryError: it is damaged, or another program keeps it locked.
    """
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
            database.execute("SELECT count(*) FROM sqlite_master")
            database.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        raise RegistryError(
            f"The registry's database cannot be used: {error}.",
            where=str(path),
            hint="end the program that has it open, or make the file writable",
        ) from error
    except sqlite3.DatabaseError as error:
        raise RegistryError(
            f"The registry's database is damaged: {error}.",
            where=str(path),
            hint="restore it from a backup; `promotions` names the versions that it held",
        ) from error
