"""The registry keeps one contract on a laptop's sqlite and on MLflow's Unity Catalog client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException

from engine.errors import RegistryError
from engine.models.registry import Registry, Version
from engine.writes import watched
from policies import UniformPolicy
from policies.errors import ModelFileError
from tests.engine.models.unity_catalog import UnityCatalog, served

pytestmark = pytest.mark.integration

IDS = ("no_contact", "mail", "call")
MODEL = "main.nba.model"


@dataclass
class Place:
    """Where a registry is: a folder, or a server."""

    root: Optional[Path]
    catalog: Optional[UnityCatalog]

    def registry(self, name: str = MODEL) -> Registry:
        """A new object, as each run makes its own."""
        return Registry(name, "/tests/contract", self.root)


@pytest.fixture(params=["sqlite", "RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """An empty registry on sqlite, or on Unity Catalog with one of its words for "absent"."""
    monkeypatch.chdir(tmp_path)  # where runs leave their files
    if request.param == "sqlite":
        yield Place(tmp_path, None)
    else:
        catalog = UnityCatalog(request.param)
        with served(catalog) as address:
            monkeypatch.setenv("DATABRICKS_HOST", address)
            monkeypatch.setenv("DATABRICKS_TOKEN", "token")
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
            yield Place(None, catalog)
    mlflow.set_registry_uri(f"sqlite:///{tmp_path}/runs.db")


def register(registry: Registry, **tags: str) -> Optional[Version]:
    """Register a uniform policy."""
    random = np.random.default_rng(0)
    return registry.register(
        UniformPolicy(IDS),
        {"x": "double"},
        pd.DataFrame({"x": random.normal(size=3), "eligible_actions": [list(IDS)] * 3}),
        params={"seed": 0},
        metrics={"selection_low": 0.1},
        tables={"selection": pd.DataFrame({"recipe": ["a"]})},
        pictures={"selection": Figure()},
        rivals=[],
        tags={"recipe": "r", **tags},
    )


def test_nothing_is_there_at_first(place: Place) -> None:
    """A model that nobody registered has no versions and no alias, and no error hides that."""
    registry = place.registry()
    assert registry.versions() == []
    assert registry.find(recipe="r") is None
    assert registry.alias("champion") is None
    assert not registry.has_run(recipe="r")
    with pytest.raises(RegistryError, match="no version 1"):
        registry.version("1")
    with pytest.raises(RegistryError, match="no version 1"):
        registry.load("1")
    with pytest.raises(RegistryError, match="no version 1"):
        registry.set_alias("champion", "1")


def test_versions_have_order_and_tags(place: Place) -> None:
    """All versions are found over several pages, oldest first, each with its tags."""
    made = [register(place.registry(), training_key=f"k{n}") for n in range(5)]
    registry = place.registry()
    assert registry.versions() == made
    assert [version.number for version in registry.versions()] == list("12345")
    assert registry.find(training_key="k3") == made[3]
    assert registry.find(recipe="r") == made[4]
    assert registry.version("2") == made[1]
    assert registry.has_run(training_key="k0")
    registry.set_tag("2", "training_key", "other")
    assert registry.version("2").tags["training_key"] == "other"


def test_aliases_move(place: Place) -> None:
    """An alias points to one version, is moved, and follows nothing else."""
    for n in range(2):
        register(place.registry(), training_key=f"k{n}")
    registry = place.registry()
    assert registry.alias("staging") is None
    registry.set_alias("staging", "1")
    registry.set_alias("staging", "2")
    assert place.registry().alias("staging") == "2"
    assert registry.alias("champion") is None
    with pytest.raises(RegistryError, match="no version 9"):
        registry.set_alias("champion", "9")


def test_a_loaded_policy_is_the_registered_one(place: Place) -> None:
    """The files come back as they were registered; changed ones are refused."""
    register(place.registry(), feature_hash="f")
    loaded = place.registry().load("1")
    assert loaded.about == {"feature_hash": "f"}
    assert isinstance(loaded, UniformPolicy)
    assert tuple(loaded.action_ids) == IDS
    if place.catalog is not None:
        (path,) = (path for path in place.catalog.files if path.endswith("policy/policy.json"))
        place.catalog.files[path] += b" "
        with pytest.raises(ModelFileError):
            place.registry().load("1")


def test_a_deleted_version_is_gone(place: Place) -> None:
    """The others keep their numbers, and a number is never given again."""
    for n in range(3):
        register(place.registry(), training_key=f"k{n}")
    place.registry().delete("2")
    assert [version.number for version in place.registry().versions()] == ["1", "3"]
    made = register(place.registry(), training_key="k9")
    assert made is not None
    assert made.number == "4"


def test_a_registration_stopped_at_each_write_is_made_up_for(place: Place) -> None:
    """Whatever write the first registration dies at, the next makes one version, tagged."""
    stopped: list[str] = []

    def stop_once(write: str) -> None:
        if write not in stopped:
            stopped.append(write)
            raise KeyboardInterrupt

    for _ in range(40):
        try:
            with watched(stop_once):
                registry = place.registry()
                if registry.find(training_key="k") is None:
                    register(registry, training_key="k")
                registry.set_alias("candidate", registry.versions()[-1].number)
            break
        except KeyboardInterrupt:
            continue
    assert {"log model", "register version", "set tags of run", "set alias candidate"} <= {*stopped}
    (version,) = place.registry().versions()
    assert version.tags["training_key"] == "k"
    assert place.registry().alias("candidate") == version.number


def test_a_version_whose_files_did_not_arrive_does_not_count(place: Place) -> None:
    """A registration that died during the upload leaves a version that nobody is offered."""
    if place.catalog is None:
        pytest.skip("sqlite has no such state")
    catalog = place.catalog
    catalog.refuse = lambda path: path.endswith("finalize")
    with pytest.raises(MlflowException):
        register(place.registry(), training_key="k")
    catalog.refuse = None
    assert place.registry().versions() == []
    assert place.registry().find(training_key="k") is None
    made = register(place.registry(), training_key="k")
    assert made is not None
    assert (made.number, place.registry().versions()) == ("2", [made])


@pytest.mark.parametrize("call", ["search", "get", "alias"])
def test_a_refusal_is_not_an_absence(place: Place, call: str) -> None:
    """Without permission the registry's error is raised; nothing is taken for absent."""
    if place.catalog is None:
        pytest.skip("sqlite knows no permissions")
    register(place.registry(), training_key="k")
    place.catalog.refuse = lambda path: path.endswith(call)
    asked: Any = place.registry().versions
    if call == "alias":
        asked = lambda: place.registry().alias("champion")  # noqa: E731
    with pytest.raises(MlflowException, match="PERMISSION_DENIED"):
        asked()
