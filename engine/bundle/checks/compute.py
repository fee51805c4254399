"""Checks of clusters, environments and the libraries that are installed on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from engine.bundle.checks.view import Finding, View
from engine.bundle.values import Value

OLDEST_RUNTIME = (13, 3)  # of those with support
_RUNTIME = re.compile(r"(?:custom:|dev-)?.*?(\d+)\.(\d+|x)\.x-(?:[a-z0-9]+-)*scala2\.1\d")
_OTHER_RUNTIMES = ("auto:", "custom:", "apache-spark")


def keys(view: View) -> Iterator[Finding]:
    """A task runs on a cluster and in an environment that its job defines."""
    lists = (("job_cluster_key", "job_clusters"), ("environment_key", "environments"))
    for key, job, task in view.tasks():
        for field, rows in lists:
            value = task[field]
            known = [row[field].text for row in job[rows].entries]
            if value.text and "${" not in value.text and value.text not in known:
                what = f"Job {key!r} has no {field} {value.text!r}."
                yield Finding.misspelt(what, value, value.text, known)


def runtimes(view: View) -> Iterator[Finding]:
    """A cluster names a runtime, and one that is still supported."""
    for cluster in _clusters(view):
        value = cluster["spark_version"]
        if not value.text:
            if not cluster["policy_id"].text:
                yield Finding(
                    "The cluster has no spark_version.", cluster.place, "add spark_version:"
                )
            continue
        if "${" in value.text or value.text.startswith(_OTHER_RUNTIMES):
            continue
        match = _RUNTIME.fullmatch(value.text)
        if match is None:
            hint = "write one such as 17.3.x-scala2.13"
            yield Finding(f"{value.text!r} is no runtime.", value.place, hint)
        elif (int(match[1]), 99 if match[2] == "x" else int(match[2])) < OLDEST_RUNTIME:
            oldest = ".".join(map(str, OLDEST_RUNTIME))
            hint = f"take {oldest} or later"
            yield Finding(f"The runtime {value.text!r} is no longer supported.", value.place, hint)


def wheels(view: View) -> Iterator[Finding]:
    """A library in the bundle's folder is there, or an artifact builds it."""
    for value in _libraries(view):
        text = value.text.removeprefix("-r ").removeprefix("-e ").strip()
        is_path = text.startswith(("./", "../")) or (
            text.endswith((".whl", ".jar")) and not text.startswith(("/", "dbfs:", "s3:", "http"))
        )
        if not is_path or "://" in text or "${" in text:
            continue
        folders = (value.place.path.parent, view.folder)
        if any(_matches(folder, text) for folder in folders) or _built(view, text):
            continue
        what = f"{text!r} matches no file, and no artifact builds it."
        yield Finding(what, value.place, "correct the path, or add the artifact that builds it")


def _matches(folder: Path, text: str) -> bool:
    while text.startswith("../"):
        folder, text = folder.parent, text[3:]
    return any(True for _ in folder.glob(text.removeprefix("./")))


def _built(view: View, text: str) -> bool:
    """Whether an artifact's build writes into the folder of that path."""
    artifacts = view.resolved.root["artifacts"].items
    if not artifacts:
        return (view.folder / "setup.py").exists() and "dist" in PurePosixPath(text).parts
    wanted = PurePosixPath(re.sub(r"^(\.\.?/)+", "", text)).parent
    for artifact in artifacts.values():
        root = PurePosixPath(re.sub(r"^(\.\.?/)+", "", artifact["path"].text or "."))
        files = [PurePosixPath(row["source"].text) for row in artifact["files"].entries]
        folders = {file.parent for file in files} | {root / "dist", root / "target"}
        if any(_same(wanted, folder) for folder in folders):
            return True
    return False


def _same(wanted: PurePosixPath, folder: PurePosixPath) -> bool:
    """Whether one is the other, seen from another folder of the bundle."""
    ends = [part for part in folder.parts if part != ".."]
    return list(wanted.parts)[-len(ends) :] == ends[-len(wanted.parts) :]


def _clusters(view: View) -> Iterator[Value]:
    for _, _, task in view.tasks():
        if task["new_cluster"].items:
            yield task["new_cluster"]
    for job in view.jobs.values():
        for row in job["job_clusters"].entries:
            if row["new_cluster"].content is None:
                yield row
            elif row["new_cluster"].items:
                yield row["new_cluster"]
    yield from view.resolved.resources("clusters").values()


def _libraries(view: View) -> Iterator[Value]:
    for _, _, task in view.tasks():
        for row in task["libraries"].entries:
            for kind in ("whl", "jar", "requirements"):
                if row[kind].text:
                    yield row[kind]
    for job in view.jobs.values():
        for row in job["environments"].entries:
            yield from row["spec"]["dependencies"].entries
