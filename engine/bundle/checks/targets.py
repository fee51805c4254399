"""Checks of targets: who runs them, where they live, and that they keep apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from engine.bundle.checks.view import Finding, View
from engine.bundle.resolution import Resolved
from engine.bundle.values import Place, Value

_PRINCIPALS = ("user_name", "service_principal_name", "group_name")


def production(view: View) -> Iterator[Finding]:
    """A production target has one folder and one identity, whoever deploys it."""
    resolved = view.resolved
    if resolved.root["bundle"]["mode"].text != "production":
        return
    mode = resolved.root["bundle"]["mode"]
    declared = resolved.declared["workspace"]["root_path"]
    follows = "current_user" in declared.text or declared.text.startswith("~")
    home = declared.text.startswith(("/Users/", "/Workspace/Users/")) and not follows
    run_as = resolved.root["run_as"]
    if not declared.text:
        what = f"The production target {resolved.target!r} has no root_path: each person who "
        yield Finding(
            f"{what}deploys it has a deployment of their own.",
            mode.place,
            "set workspace.root_path",
        )
    elif follows and not run_as.items:
        what = "The root_path follows the person who deploys."
        yield Finding(what, declared.place, "set a root_path that is the same for everybody")
    if not run_as.items and not home:  # in one person's home only that person deploys
        what = f"The production target {resolved.target!r} has no run_as: its jobs run as whoever "
        yield Finding(f"{what}deployed last.", mode.place, "set run_as.service_principal_name")


def identities(view: View) -> Iterator[Finding]:
    """run_as, a permission or a grant names one principal."""
    root = view.resolved.root
    rows: list[Value] = [root["run_as"]] if root["run_as"].content is not None else []
    rows += root["permissions"].entries
    for bodies in root["resources"].items.values():
        for body in bodies.items.values():
            rows += body["permissions"].entries
            for row in body["grants"].entries:
                if row.items and not row["principal"].text:
                    yield Finding("The grant names no principal.", row.place, "add principal:")
    for row in rows:
        named = [key for key in _PRINCIPALS if row[key].text]
        if row.kind == "map" and len(named) != 1:
            what = "No principal is named." if not named else f"{' and '.join(named)} are named."
            yield Finding(what, row.place, "name one user, group or service principal")


def roots(view: View) -> Iterator[Finding]:
    """No two targets share a root path."""
    for one, other in _pairs(view):
        paths = [target.root["workspace"]["root_path"] for target in (one, other)]
        if paths[0].text.rstrip("/") == paths[1].text.rstrip("/"):
            what = f"The targets {one.target!r} and {other.target!r} share a root_path: each "
            yield Finding(f"{what}deployment replaces the other.", _later(paths), "add the target")


def schemas(view: View) -> Iterator[Finding]:
    """No two targets write to one schema, and production writes nowhere that development does."""
    for one, other in _pairs(view):
        shared = _schemas(one).keys() & _schemas(other).keys()
        for name in sorted(shared):
            places = [_schemas(target)[name] for target in (one, other)]
            what = f"The targets {one.target!r} and {other.target!r} share the schema {name}."
            yield Finding(what, _later(places), "give each target a schema of its own")


def _pairs(view: View) -> Iterator[tuple[Resolved, Resolved]]:
    """Each other target with the one that is checked."""
    for one, other in combinations(view.targets.values(), 2):
        if view.resolved.target in (one.target, other.target):
            yield one, other


def _later(values: list[Value]) -> Place:
    """The place of the value that a target states itself, the later target first."""
    for value in reversed(values):
        if value.place.keys[:1] == ("targets",):
            return value.place
    return values[-1].place


def _schemas(target: Resolved) -> dict[str, Value]:
    """The schemas a target writes to: declared ones, and that of the variables of that name."""
    found: dict[str, Value] = {}
    prefixed = target.root["bundle"]["mode"].text == "development" and (
        target.root["experimental"]["skip_name_prefix_for_schema"].content is not True
    )
    for body in target.resources("schemas").values():
        own = f"{body['catalog_name'].text}.{body['name'].text}"
        found[f"dev:{own}" if prefixed else own] = body["name"]
    variables = target.root["variables"].items
    if {"catalog", "schema"} <= variables.keys() and not prefixed:
        own = f"{variables['catalog'].text}.{variables['schema'].text}"
        found[own] = variables["schema"]
    return {name: value for name, value in found.items() if "${" not in name and name != "."}
