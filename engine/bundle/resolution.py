"""A bundle for one target: included files joined, the target applied, references replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from engine.bundle.references import References
from engine.bundle.values import Fault, JoinError, Place, Value, from_document, joined, joined_by
from engine.documents import DocumentError, KeyPath, read_document
from engine.errors import BundleError
from policies.errors import did_you_mean

FILES = ("databricks.yml", "databricks.yaml", "bundle.yml", "bundle.yaml")
_FILE_TYPES = (".yml", ".yaml", ".json")
_JOINED = ("bundle", "workspace", "artifacts", "resources", "sync", "permissions", "presets")
_BY_KEY = {  # lists of a resource whose entries are joined by a key
    "jobs": {"tasks": "task_key", "job_clusters": "job_cluster_key", "parameters": "name"},
    "pipelines": {"clusters": "label"},
    "apps": {"resources": "name"},
}
_UNIQUE = {"environments": "environment_key"}
_USUAL = ("resources/*.yml", "resources/*/*.yml")  # of the templates: they may match nothing yet
_FULL = ({"default"}, {"lookup"}, {"lookup", "description"}, {"default", "type", "description"})
_FULL_OVERRIDES = (*_FULL, {"default", "type"}, {"default", "description"})


@dataclass(frozen=True)
class Resolved:
    """A bundle for one target.

    Args:
        target: its name.
        root: the content, with the target's overrides, and references to resources only.
        declared: the content before references were replaced.
        roots: what references may start with.
        faults: what could not be read, joined or resolved.
        files: databricks.yml and the files it includes.
    """

    target: str
    root: Value
    declared: Value
    roots: Value
    faults: tuple[Fault, ...]
    files: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The bundle's main file."""
        return self.files[0]

    def resources(self, kind: str) -> dict[str, Value]:
        """The resources of one kind, by key."""
        return self.root["resources"][kind].items

    def answered(self, kind: str) -> dict[str, Value]:
        """The resources of one kind; references to resources are replaced where a file can.

        A resource's id is its key, as in a local run.
        """
        references = References(self.roots, self.declared["variables"].items, keep=False)
        return {key: references.resolved(body) for key, body in self.resources(kind).items()}

    def place(self, keys: KeyPath) -> Place:
        """Where the deepest value known under these keys stands."""
        found = (self.root.find(keys[:n]) for n in range(len(keys), -1, -1))
        return next(value for value in found if value is not None).place


def find_bundle(start: Path) -> Path:
    """The bundle's main file in this folder or the closest one above it.

    Raises:
        BundleError: there is none.
    """
    for folder in (start, *start.resolve().parents):
        for name in FILES:
            if (folder / name).is_file():
                return folder / name
    raise BundleError(f"there is no {FILES[0]} here or above", where=str(start.resolve()))


def resolve(
    path: Path,
    target: Optional[str],
    given: Mapping[str, str],
    environment: Mapping[str, str],
    workspace: Mapping[str, str],
) -> Resolved:
    """Read a bundle as the databricks command does.

    Args:
        path: its main file.
        target: None: the default one.
        given: values of variables, as of `--var`.
        environment: values of variables, as of `BUNDLE_VAR_…`.
        workspace: the user, and folders other than those that the file and the command imply.

    Raises:
        BundleError: there is no such target, or no default one.
        ConfigError: the main file is not YAML.
    """
    root = from_document(read_document(path))
    faults: list[Fault] = []
    files = [path]
    for file in _included(path, root, faults):
        try:
            included = from_document(read_document(file))
            files.append(file)
            root = joined(root, Value({**included.items, "include": root["include"]}, root.place))
        except DocumentError as error:
            place = Place(file, *error.mark)
            faults.append(Fault("yaml", error.what, place, error.hint or ""))
        except JoinError as error:
            faults.append(Fault("yaml", error.what, error.place, error.hint or ""))
    name, chosen = _target(root, target)
    root = _overridden(root, chosen, faults)
    root = _joined_lists(root, faults)
    variables = _variables(root, chosen, path.parent, name, {**environment, **given}, faults)
    for unknown in given.keys() - root["variables"].items.keys():
        hint = did_you_mean(unknown, root["variables"].items)
        what = f"--var gives {unknown!r}, which is no variable."
        faults.append(Fault("variable", what, root["variables"].place, hint))
    roots = _roots(root, chosen, variables, name, workspace)
    references = References(roots, root["variables"].items, keep=True)
    targets = root["targets"]
    kept = Value({key: value for key, value in root.items.items() if key != "targets"}, root.place)
    resolved = references.resolved(kept)
    resolved = resolved.with_items(
        variables=Value({k: references.resolved(v) for k, v in variables.items()}, root.place),
        workspace=references.resolved(roots["workspace"]),
        targets=targets,
    )
    kept = kept.with_items(targets=targets)
    return Resolved(name, resolved, kept, roots, (*faults, *references.faults), tuple(files))


def _included(path: Path, root: Value, faults: list[Fault]) -> list[Path]:
    """The files that `include` names, each once, in the order of its patterns."""
    found: dict[Path, None] = {}
    for entry in root["include"].entries:
        pattern = entry.text
        if not pattern or Path(pattern).is_absolute():
            what = f"The include {pattern!r} is no path relative to {path.name}."
            faults.append(Fault("include", what, entry.place, "write a relative path"))
            continue
        files = sorted(file for file in path.parent.glob(pattern) if file != path)
        if not files and pattern not in _USUAL and not _matches_deeper(path.parent, pattern):
            what = f"The include {pattern!r} matches no file."
            faults.append(Fault("include", what, entry.place, "correct it, or take it away"))
        for file in files:
            if file.suffix not in _FILE_TYPES:
                what = f"The include {pattern!r} matches {file.name}, which is no YAML or JSON."
                hint = "name files that end with .yml, .yaml or .json"
                faults.append(Fault("include", what, entry.place, hint))
            else:
                found.setdefault(file)
    return list(found)


def _matches_deeper(folder: Path, pattern: str) -> bool:
    """Whether the pattern is only one of several depths: `r/*/*.yml` where `r/a.yml` exists."""
    parts = Path(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts))
    if fixed == len(parts):
        return False
    start = folder.joinpath(*parts[:fixed])
    return start.is_dir() and any(start.rglob(parts[-1]))


def _target(root: Value, wanted: Optional[str]) -> tuple[str, Value]:
    targets = root["targets"].items
    if not targets:
        targets = {"default": Value({}, root.place)}
    if wanted is None:
        marked = [name for name, body in targets.items() if body["default"].content is True]
        names = marked or list(targets)
        if len(names) != 1:
            raise BundleError(
                f"The bundle has {len(names)} default targets.",
                where=str(root["targets"].place),
                hint="name a target, or give one of them `default: true`",
            )
        wanted = names[0]
    if wanted not in targets:
        raise BundleError(
            f"there is no target {wanted!r}",
            where=str(root["targets"].place),
            hint=did_you_mean(wanted, targets),
        )
    return wanted, targets[wanted]


def _overridden(root: Value, target: Value, faults: list[Fault]) -> Value:
    """The content with what the target joins or replaces."""
    changed: dict[str, Value] = {}
    for key in _JOINED:
        if key in target.items:
            changed[key] = _try(faults, joined, root[key], target[key], root[key])
    if "run_as" in target.items:
        changed["run_as"] = target["run_as"]
    bundle = changed.get("bundle", root["bundle"])
    own = {key: target[key] for key in ("mode", "cluster_id", "git") if key in target.items}
    if bundle.kind in ("map", "null"):
        changed["bundle"] = bundle.with_items(**own)
    return root.with_items(**changed)


def _try(faults: list[Fault], action: Any, first: Any, second: Any, default: Value) -> Value:
    """What `action(first, second)` returns; its refusal becomes a fault, and `default` is kept."""
    try:
        return action(first, second)
    except JoinError as error:
        faults.append(Fault("override", error.what, error.place, error.hint or ""))
        return default


def _joined_lists(root: Value, faults: list[Fault]) -> Value:
    """Entries of one key become one entry, as where a target repeats a task."""
    kinds = dict(root["resources"].items)
    for kind, keys in _BY_KEY.items():
        bodies = {}
        for name, body in root["resources"][kind].items.items():
            own = {
                field: _try(faults, joined_by, key, body[field], body[field])
                for field, key in keys.items()
                if isinstance(body[field].content, list)
            }
            for field, key in (*keys.items(), *_UNIQUE.items()):
                faults.extend(_repeated(body[field], key))
            bodies[name] = body.with_items(**own) if own else body
        if bodies:
            kinds[kind] = Value(bodies, root["resources"][kind].place)
    return root.with_items(resources=Value(kinds, root["resources"].place))


def _repeated(rows: Value, key: str) -> Iterator[Fault]:
    """Entries of one key in one list; those of a target's list are joined to them instead."""
    seen: dict[tuple[Any, ...], Place] = {}
    for row in rows.entries:
        at = (row.place.path, row.place.keys[:-1], row[key].text)
        if row[key].text and at in seen:
            what = f"The {key} {row[key].text!r} stands twice in this list."
            hint = f"keep one; the first is on line {seen[at].line}"
            yield Fault("repeated keys", what, row.place, hint)
        seen.setdefault(at, row.place)


def _variables(
    root: Value, target: Value, folder: Path, name: str, given: Mapping[str, str], faults: Any
) -> dict[str, Value]:
    """The value of each variable: given, from the file of overrides, the target's, the default."""
    stored = _stored(folder / ".databricks" / "bundle" / name / "variable-overrides.json")
    found: dict[str, Value] = {}
    for key, body in root["variables"].items.items():
        override = target["variables"][key]
        full = set(override.items) in _FULL_OVERRIDES
        own = override["default"] if full else override
        if key in given:
            found[key] = Value(given[key], body.place)
        elif body["lookup"].items or (full and override["lookup"].items):
            continue  # a workspace answers; a reference to it then names an unknown variable
        elif key in stored:
            found[key] = stored[key]
        elif own.content is not None:
            found[key] = own
        elif "default" in body.items:
            found[key] = body["default"]
        else:
            what = f"The variable {key!r} has no value in target {name!r}."
            hint = f"give it a default, a value in this target, or --var {key}=…"
            faults.append(Fault("variable", what, body.place, hint))
    for key, value in target["variables"].items.items():
        if key not in root["variables"].items:
            what = f"The target gives {key!r} a value, which is no variable."
            hint = did_you_mean(key, root["variables"].items)
            faults.append(Fault("variable", what, value.place, hint))
    return found


def _stored(path: Path) -> dict[str, Value]:
    """The values in the file that the databricks command reads overrides from, if there is one."""
    return from_document(read_document(path)).items if path.is_file() else {}


def _roots(
    root: Value, target: Value, variables: Mapping[str, Value], name: str, given: Mapping[str, str]
) -> Value:
    """What references may start with."""
    place = root.place
    user = given.get("current_user", "local")
    base = root["workspace"]["root_path"].text or "~/.bundle/${bundle.name}/${bundle.target}"
    if base.startswith("~/"):
        base = f"/Workspace/Users/{user}/{base[2:]}"
    names = {"file_path": "files", "artifact_path": "artifacts"}
    names.update({"resource_path": "resources", "state_path": "state"})
    folders = {key: f"${{workspace.root_path}}/{folder}" for key, folder in names.items()}
    declared = {key: value for key, value in root["workspace"].items.items() if value.text}
    short = user.split("@")[0].replace(".", "_").replace("+", "_")
    person = {"userName": user, "short_name": short, "domain_friendly_name": short}
    texts = {"root_path": base, **folders}
    made = {key: Value(text, place) for key, text in texts.items() if key not in declared}
    made.update({key: Value(text, place) for key, text in given.items() if key in texts})
    people = Value({key: Value(text, place) for key, text in person.items()}, place)
    spaces = Value({**root["workspace"].items, **made, "current_user": people}, place)
    if base.startswith("/Workspace/Users/") and "root_path" in declared:
        spaces = spaces.with_items(root_path=Value(base, declared["root_path"].place))
    own = {"target": Value(name, place), "environment": Value(name, place)}
    identified = {
        kind: Value(
            {
                key: Value({"id": Value(key, body.place), **body.items}, body.place)
                for key, body in bodies.items.items()
            },
            bodies.place,
        )
        for kind, bodies in root["resources"].items.items()
    }
    return Value(
        {
            "var": Value(dict(variables), place),
            "bundle": root["bundle"].with_items(**own),
            "workspace": spaces,
            "resources": Value(identified, place),
        },
        place,
    )
