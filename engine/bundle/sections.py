"""The keys of a bundle's sections, apart from resources, as types that a file is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional

# The fields are those that the databricks command reads. A type says what may stand there: a
# dataclass or dict is a mapping, and `Any` is not checked.


class Mode(Enum):
    """What a target is for."""

    development = "development"
    production = "production"


class Engine(Enum):
    """How resources are deployed."""

    direct = "direct"
    terraform = "terraform"


class PauseStatus(Enum):
    """Whether schedules and triggers are on."""

    PAUSED = "PAUSED"
    UNPAUSED = "UNPAUSED"


class BundleLevel(Enum):
    """Permission levels for all resources of a bundle."""

    CAN_MANAGE = "CAN_MANAGE"
    CAN_VIEW = "CAN_VIEW"
    CAN_RUN = "CAN_RUN"


class VariableType(Enum):
    """Kinds of values, other than plain ones."""

    complex = "complex"
    string = "string"


class ArtifactType(Enum):
    """Kinds of artifacts."""

    whl = "whl"
    jar = "jar"


@dataclass
class Git:
    branch: Optional[str] = None
    origin_url: Optional[str] = None
    commit: Optional[str] = None


@dataclass
class Lock:
    enabled: Optional[bool] = None
    force: Optional[bool] = None


@dataclass
class Deployment:
    fail_on_active_runs: Optional[bool] = None
    lock: Optional[Lock] = None


@dataclass
class BundleSection:
    name: Optional[str] = None
    uuid: Optional[str] = None
    engine: Optional[Engine] = None
    databricks_cli_version: Optional[str] = None
    cluster_id: Optional[str] = None
    compute_id: Optional[str] = None
    mode: Optional[Mode] = None
    deployment: Optional[Deployment] = None
    git: Optional[Git] = None


@dataclass
class Workspace:
    host: Optional[str] = None
    profile: Optional[str] = None
    auth_type: Optional[str] = None
    metadata_service_url: Optional[str] = None
    client_id: Optional[str] = None
    google_service_account: Optional[str] = None
    azure_workspace_resource_id: Optional[str] = None
    azure_use_msi: Optional[bool] = None
    azure_client_id: Optional[str] = None
    azure_tenant_id: Optional[str] = None
    azure_environment: Optional[str] = None
    azure_login_app_id: Optional[str] = None
    account_id: Optional[str] = None
    workspace_id: Optional[str] = None
    root_path: Optional[str] = None
    file_path: Optional[str] = None
    artifact_path: Optional[str] = None
    resource_path: Optional[str] = None
    state_path: Optional[str] = None
    snapshot_path: Optional[str] = None
    current_user: Any = None


@dataclass
class ArtifactFile:
    source: Optional[str] = None


@dataclass
class Artifact:
    type: Optional[ArtifactType] = None
    path: Optional[str] = None
    files: Optional[list[ArtifactFile]] = None
    build: Optional[str] = None
    executable: Optional[str] = None
    dynamic_version: Optional[bool] = None


@dataclass
class Sync:
    paths: Optional[list[str]] = None
    include: Optional[list[str]] = None
    exclude: Optional[list[str]] = None


@dataclass
class Presets:
    name_prefix: Optional[str] = None
    pipelines_development: Optional[bool] = None
    trigger_pause_status: Optional[PauseStatus] = None
    jobs_max_concurrent_runs: Optional[int] = None
    source_linked_deployment: Optional[bool] = None
    artifacts_dynamic_version: Optional[bool] = None
    tags: Optional[dict[str, str]] = None


@dataclass
class RunAs:
    user_name: Optional[str] = None
    service_principal_name: Optional[str] = None
    group_name: Optional[str] = None


@dataclass
class Permission:
    level: BundleLevel
    user_name: Optional[str] = None
    service_principal_name: Optional[str] = None
    group_name: Optional[str] = None


@dataclass
class Lookup:
    alert: Optional[str] = None
    cluster_policy: Optional[str] = None
    cluster: Optional[str] = None
    dashboard: Optional[str] = None
    instance_pool: Optional[str] = None
    job: Optional[str] = None
    metastore: Optional[str] = None
    notification_destination: Optional[str] = None
    pipeline: Optional[str] = None
    query: Optional[str] = None
    service_principal: Optional[str] = None
    warehouse: Optional[str] = None


@dataclass
class Variable:
    default: Any = None
    description: Optional[str] = None
    type: Optional[VariableType] = None
    lookup: Optional[Lookup] = None
    value: Any = None


@dataclass
class Python:
    resources: Optional[list[str]] = None
    mutators: Optional[list[str]] = None
    venv_path: Optional[str] = None


@dataclass
class Experimental:
    scripts: Optional[dict[str, str]] = None
    immutable_folder: Optional[bool] = None
    python_wheel_wrapper: Optional[bool] = None
    use_legacy_run_as: Optional[bool] = None
    pydabs: Any = None
    python: Optional[Python] = None
    skip_artifact_cleanup: Optional[bool] = None
    skip_name_prefix_for_schema: Optional[bool] = None
    record_deployment_history: Optional[bool] = None


@dataclass
class Target:
    default: Optional[bool] = None
    mode: Optional[Mode] = None
    presets: Optional[Presets] = None
    compute_id: Optional[str] = None
    cluster_id: Optional[str] = None
    bundle: Optional[BundleSection] = None
    workspace: Optional[Workspace] = None
    artifacts: Optional[dict[str, Artifact]] = None
    resources: Any = None
    variables: Any = None
    git: Optional[Git] = None
    run_as: Optional[RunAs] = None
    sync: Optional[Sync] = None
    permissions: Optional[list[Permission]] = None


@dataclass
class Root:
    bundle: Optional[BundleSection] = None
    include: Optional[list[str]] = None
    workspace: Optional[Workspace] = None
    artifacts: Optional[dict[str, Artifact]] = None
    resources: Any = None
    variables: Optional[dict[str, Variable]] = None
    targets: Optional[dict[str, Target]] = None
    environments: Optional[dict[str, Target]] = None
    sync: Optional[Sync] = None
    run_as: Optional[RunAs] = None
    presets: Optional[Presets] = None
    experimental: Optional[Experimental] = None
    permissions: Optional[list[Permission]] = None
    scripts: Any = None
    python: Optional[Python] = None
    definitions: Any = None
