"""The files of a saved policy: `policy.json` holds their sha256, and no other ones are accepted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from policies.errors import ModelFileError

FILE, FORMAT = "policy.json", 2
LARGEST = 1_000_000_000  # bytes of a file


def refused(directory: Path, name: str, problem: str) -> ModelFileError:
    """The error that names a file of a saved policy, its problem and what to do."""
    hint = "restore the model's files from a copy, use another version, or train again"
    return ModelFileError(f"{name!r} of a saved policy {problem}", where=str(directory), hint=hint)


@contextmanager
def reading(directory: Path, name: str) -> Iterator[None]:
    """Any error within is a refusal of this file."""
    try:
        yield
    except ModelFileError:
        raise
    except Exception as error:
        problem = f"cannot be used: {type(error).__name__}: {getattr(error, 'what', error)}"
        raise refused(directory, name, problem) from error


def file_digest(directory: Path, name: str = FILE) -> str:
    """The sha256 of a file, in hex; that of `policy.json` stands for the whole policy.

    Raises:
        ModelFileError: it is not there, no regular file, too large, or cannot be read.
    """
    path, digest = directory / name, hashlib.sha256()
    with reading(directory, name):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            raise refused(directory, name, "is not there, no regular file, or too large")
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()


def write(directory: Path, content: Mapping[str, Any]) -> None:
    """Write `policy.json` with the digests of all other files below the directory, and its own."""
    files = {name: file_digest(directory, name) for name in _names(directory)}
    whole = {"schema_version": FORMAT, **content, "files": files}
    text = json.dumps({**whole, "sha256": _content_digest(whole)}, indent=1) + "\n"
    (directory / FILE).write_text(text, encoding="utf-8")


def read(directory: Path) -> dict[str, Any]:
    """The content of `policy.json`, once every file is there as it was saved, and no other.

    No name that `policy.json` lists is opened unless the directory itself has that file.

    Raises:
        ModelFileError: a file is missing, added, changed or no regular file, or `policy.json` is
            not of the known format; it names the file.
    """
    file_digest(directory)  # refuses what should not even be opened
    with reading(directory, FILE):
        content = dict(json.loads((directory / FILE).read_bytes().decode("utf-8")))
        if content["schema_version"] != FORMAT:
            raise refused(directory, FILE, f"has another format than {FORMAT}, the known one")
        if content.pop("sha256") != _content_digest(content):
            raise refused(directory, FILE, "is not as it was saved: its content has been changed")
        listed = dict(content["files"])
    present = set(_names(directory))
    for name in sorted(present ^ set(listed)):
        problem = "has been added" if name in present else "is not there"
        raise refused(directory, name, f"{problem} since it was saved")
    for name in sorted(listed):
        if file_digest(directory, name) != listed[name]:
            raise refused(directory, name, "is not as it was saved: its sha256 differs")
    return content


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _names(directory: Path) -> Iterator[str]:
    """The files below a directory but its `policy.json`, by name; links and devices are refused."""
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise refused(directory, name, "is no regular file")
        if path.is_file() and name != FILE:
            yield name
