"""YAML that remembers its lines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.documents import DEEPEST, LARGEST, MOST_VALUES, dotted, read_document
from engine.errors import ConfigError

TEXT = """\
# a comment
reward:
  outcomes:
    visit: 1.0
actions:
  - id: a
    cost: 1
  - {id: b,
     cost: 2}
"""


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "some.yml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("reward",), 2),
        (("reward", "outcomes", "visit"), 4),
        (("actions", 0), 6),
        (("actions", 0, "cost"), 7),
        (("actions", 1, "cost"), 9),
    ],
)
def test_every_key_knows_its_line(tmp_path: Path, keys: tuple[str, ...], line: int) -> None:
    """A key path leads to the line its key stands on, in block and in flow style."""
    document = read_document(written(tmp_path, TEXT))
    assert document.where(keys) == f"{document.path}:{line}, {dotted(keys)}"
    assert document.data["actions"][1] == {"id": "b", "cost": 2}


def test_a_key_that_is_not_there_points_to_the_nearest_one(tmp_path: Path) -> None:
    """Where a key is missing the place is that of the section it should stand in."""
    document = read_document(written(tmp_path, TEXT))
    where = document.where(("reward", "outcomes", "click"))
    assert where == f"{document.path}:3, reward.outcomes.click"
    assert document.where(("gate",)) == f"{document.path}:1, gate"
    assert document.where(()) == f"{document.path}:1"


def test_key_paths_are_written_with_dots_and_brackets() -> None:
    """Names are joined by dots, places in a list stand in brackets."""
    assert dotted(("actions", 3, "valid_to")) == "actions[3].valid_to"


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("a: 1\nb: [1,\n", "not valid YAML", 3),
        ("a: 1\n\tb: 2\n", "not valid YAML", 2),
        ("- a\n- b\n", "must hold a mapping", 1),
        ("", "must hold a mapping", 1),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "a.b stands twice", 4),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str, what: str, line: int) -> None:
    """No YAML, no mapping, or a key that stands twice: an error that points to the line."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=what) as caught:
        read_document(path)
    assert str(caught.value.where) == f"{path}:{line}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file is a configuration error with a hint, not a traceback."""
    with pytest.raises(ConfigError, match=r"no file gone\.yml") as caught:
        read_document(tmp_path / "gone.yml")
    assert caught.value.hint == "check conf_dir"


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 28)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 40))
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 14)
)
DEEPER, MORE = (
    f"deeper than the limit of {DEEPEST}",
    f"more values than the limit of {MOST_VALUES:,}",
)
HOSTILE: dict[str, tuple[str | bytes, str, int]] = {
    "alias bomb": (BOMB, MORE, 0),
    "alias bomb of merges": (MERGES, MORE, 0),
    "wide alias bomb": (f"a: &a [{'x, ' * 999}x]\nb: [{'*a, ' * 999}*a]\n", MORE, 1),
    "chain of aliases": (CHAIN, DEEPER, 0),
    "list in itself": ("a: 1\nb: &b\n  - *b\n", "or holds itself", 0),
    "mapping in itself": ("a: 1\nb: &b {c: *b}\n", "or holds itself", 2),
    "file in itself": ("&a\nb: *a\n", "or holds itself", 0),
    "deep lists": ("a:\n  " + "[" * 5_000, DEEPER, 2),
    "deep mappings": ("a:\n  " + "{a: " * 5_000, DEEPER, 2),
    "deep blocks": ("".join(" " * n + f"k{n}:\n" for n in range(99)), DEEPER, DEEPEST + 1),
    "deep dashes": ("a:\n" + "- " * 5_000 + "x", DEEPER, 2),
    "many values": ("a:\n" + "- 1\n" * 240_000, MORE, 0),
    "large file": ("a: 1\n" + "#" * LARGEST, f"limit of {LARGEST:,} bytes", 1),
    "python object": ("a: 1\nb: !!python/object:os.system {}\n", "python/object:os.system", 2),
    "python call": ("b: !!python/object/apply:os.system [ls]\n", "python/object/apply", 1),
    "python name": ("b: !!python/name:os.system\n", "python/name", 1),
    "own tag": ("a: 1\n\nb: !mine x\n", "The tag !mine has no place", 3),
    "own tag of the file": ("!mine\na: 1\n", "The tag !mine has no place", 1),
    "own tag of a list": ("a: !mine [1]\n", "The tag !mine has no place", 1),
    "bytes": ("a: !!binary aGVsbG8=\n", "binary has no place", 1),
    "set": ("a: !!set {b, c}\n", "set has no place", 1),
    "tag of another kind": ("a: !!map [1]\n", "not valid YAML", 1),
    "number that is text": ("a: !!int many\n", "a has 'many', which cannot be", 1),
    "key twice": ("a:\n  b: 1\n  c: {d: 1, d: 2}\n", "The key a.c.d stands twice", 3),
    "key twice, number": ("1: x\n0x1: y\n", "The key [1] stands twice", 2),
    "UTF-16 with a mark": ("a: 1\n".encode("utf-16"), "is not plain UTF-8", 1),
    "UTF-16": ("a: 1\n".encode("utf-16-le"), "U+0000", 1),
    "latin-1": ("a: 1\nb: caf\u00e9\n".encode("latin-1"), "is not plain UTF-8", 2),
    "NUL": ("a: 1\nb: x\0y\n", "it holds U+0000", 2),
    "bell": ("a: 1\nb: \x07\n", "it holds U+0007", 2),
    "byte order mark": ("\ufeffa: 1\n", "it holds U+FEFF", 1),
    "random bytes": (bytes(range(128, 256)), "is not plain UTF-8", 1),
    "30 February": ("a: 1\nb: {c: 2026-02-30}\n", "b.c has '2026-02-30', which cannot be", 2),
    "25 o'clock": ("a: 2026-02-03T25:00:00Z\n", "a has '2026-02-03T25:00:00Z'", 1),
    "month 13 as a key": ("a: 1\n2026-13-01: 1\n", "A key must be a text", 2),
    "number of no digits": ("a: 0x_\n", "a has '0x_', which cannot be", 1),
    "key of no digits": ("a: {0x_: 1}\n", "a has '0x_', which cannot be", 1),
    "key that is a flag": ("a: 1\nno: 2\n", "A key must be a text, and one is 'no'", 2),
    "key that is null": ("a: 1\n~: 2\n", "A key must be a text", 2),
    "key that is a fraction": ("a: {0.5: 2}\n", "A key must be a text, and one is '0.5'", 1),
    "key that is a date": ("a: {2026-01-01: 2}\n", "A key must be a text", 1),
    "key that is a list": ("a: 1\n? [b, c]\n: 2\n", "A key must be a text", 2),
    "key that is a mapping": ("a: 1\n? {b: c}\n: 2\n", "A key must be a text", 2),
    "two documents": ("a: 1\n---\nb: 2\n", "another document", 2),
    "unknown alias": ("a: 1\nb: *gone\n", "not valid YAML", 2),
    "merge of a text": ("a: 1\nb: {<<: text}\n", "not valid YAML", 2),
    "unfinished text": ("a: 1\nb: 'x\n", "not valid YAML", 3),
    "later version of YAML": ("%YAML 9.0\n---\na: 1\n", "not valid YAML", 1),
    "a text": ("hello", "must hold a mapping", 1),
    "nothing": ("# nothing\n", "must hold a mapping", 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path: Path, name: str) -> None:
    """What no configuration needs is a ConfigError within a second, with file, line and a hint."""
    content, what, line = HOSTILE[name]
    path = tmp_path / "some.yml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    assert time.process_time() - began < 1
    error = caught.value
    assert what in error.what
    assert error.hint
    assert len(str(error)) < 600
    assert str(error.where).startswith(f"{path}:{line or ''}")
    assert str(error.where).removeprefix(f"{path}:").isdigit()


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    """A folder, a loop of links and a name beyond the file system's limit are errors with a hint."""
    (tmp_path / "loop.yml").symlink_to("loop.yml")
    for path in (tmp_path, tmp_path / "loop.yml", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(ConfigError, match="There is no file|cannot be read") as caught:
            read_document(path)
        assert "check conf_dir" in str(caught.value.hint)


def test_aliases_merges_and_numbers_as_keys_are_read(tmp_path: Path) -> None:
    """What the bundle and the sources use stays possible: anchors, merges, values of a log."""
    text = "base: &base {a: 1}\nmore: {<<: *base, b: 2}\nagain: *base\nactions: {0: x, '1': y}\n"
    document = read_document(written(tmp_path, text))
    assert document.data["more"] == {"a": 1, "b": 2}
    assert document.data["again"] == {"a": 1}
    assert document.data["actions"] == {0: "x", "1": "y"}
    assert document.where(("actions", 0)) == f"{document.path}:4, actions[0]"
