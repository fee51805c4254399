"""Checks of what has no place in a bundle: secrets, personal paths, model aliases."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.bundle.checks.view import Finding, View
from engine.bundle.values import Fix, Value

_TOKENS = re.compile(
    r"\bdapi[0-9a-f]{32}|\bdose[0-9a-f]{32}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}|\bxox[abp]-[A-Za-z0-9-]{20,}|\beyJ[\w-]{20,}\.[\w-]+\."
)
_SECRET_KEYS = re.compile(
    r"(^|[._-])(password|passwd|token|secret|api[_-]?key|access[_-]?key)$", re.I
)
_HOME = re.compile(r"(?:^|[\s=:\"'])(?:/home/|/root/|[A-Za-z]:\\Users\\|/Users/)([^/\\\s]+)")
_PLACEHOLDERS = re.compile(
    r"someone|somebody|your|example|user(name)?@|me@|placeholder|\$\{|\{\{|<", re.I
)
_WORKSPACE = re.compile(r"/Users/([^/\s@]+@[^/\s]+)")
_SERVED = ("entity_name", "model_name")
_MODEL_PARAMETERS = ("model_name", "registered_model_name", "model_full_name")


def secrets(view: View) -> Iterator[Finding]:
    """No password, token or key stands in the file."""
    for keys, value in _own(view):
        text, key = value.text, str(keys[-1]) if keys else ""
        plain = text and not re.search(r"\$\{|\{\{", text)
        named = plain and isinstance(value.content, str) and _SECRET_KEYS.search(key)
        in_parameter = "secret_scopes" not in keys and len(text) > 3
        if _TOKENS.search(text) or (named and in_parameter):
            what = f"The value of {key!r} looks like a secret."
            yield Finding(
                what, value.place, "keep it in a secret scope, and write {{secrets/scope/key}}"
            )


def personal_paths(view: View) -> Iterator[Finding]:
    """No path leads to one person's folder."""
    for _, value in _own(view):
        if not isinstance(value.content, str):
            continue
        match = _WORKSPACE.search(value.text) or _HOME.search(value.text)
        if match and not _PLACEHOLDERS.search(match.group(1)):
            what = f"{value.text!r} is the folder of one person."
            hint = "write ${workspace.current_user.userName}, or a shared folder"
            yield Finding(what, value.place, hint)


def personal_names(view: View) -> Iterator[Finding]:
    """Nothing runs as, or reports to, one person by name."""
    for keys, value in _own(view):
        key = str(keys[-2] if keys and isinstance(keys[-1], int) else keys[-1] if keys else "")
        watched = key in ("user_name", "single_user_name", "creator") or key.startswith("on_")
        match = re.fullmatch(r"([a-z]+[._][a-z]+)@([\w.-]+)", value.text, re.I)
        if watched and match and not _PLACEHOLDERS.search(value.text):
            what = f"{value.text!r} is one person, who may leave."
            yield Finding(
                what, value.place, "name a service principal, a group or a team's address"
            )


def model_names(view: View) -> Iterator[Finding]:
    """A registered model has catalog, schema and name."""
    for value in _models(view):
        text = value.text
        if text and "{{" not in text and "${" not in text and len(text.split(".")) != 3:
            what = f"The model {text!r} is not named catalog.schema.model."
            yield Finding(what, value.place, "write its three-level name")


def aliases(view: View) -> Iterator[Finding]:
    """No alias is declared: evidence moves them, and a deployment would move them back."""
    for body in view.resolved.resources("registered_models").values():
        if body["aliases"].content is not None:
            what = "The bundle declares aliases of a model."
            hint = "take them away; promotion moves them"
            yield Finding(what, body["aliases"].place, hint, Fix("remove"))


def _models(view: View) -> Iterator[Value]:
    for body in view.resolved.resources("model_serving_endpoints").values():
        for rows in ("served_entities", "served_models"):
            for row in body["config"][rows].entries:
                yield from (row[key] for key in _SERVED if row[key].text)
    for job in view.jobs.values():
        for row in job["parameters"].entries:
            if row["name"].text in _MODEL_PARAMETERS:
                yield row["default"]
    for _, _, task in view.tasks():
        given = task["notebook_task"]["base_parameters"].items
        yield from (value for name, value in given.items() if name in _MODEL_PARAMETERS)


def _own(view: View) -> Iterator[tuple[tuple[object, ...], Value]]:
    """Every scalar of the files as it is written, before references are replaced."""
    yield from view.resolved.declared.scalars()
