"""Saved policies whose files were tampered with: each is refused, by the name of the file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policies import LoggedDecisions, UniformPolicy, VowpalPolicy, load_policy
from policies.errors import ModelFileError
from policies.learning.averaged import Averaged
from policies.learning.best_average import BestAverage
from policies.model_files import FILE, LARGEST, file_digest
from policies.policy import Policy

IDS = ("none", "mail", "call")
Tamper = Callable[[Path], Any]


def a_log(seed: int = 0) -> LoggedDecisions:
    """Decisions of a uniform logger; mail pays where x is positive."""
    n, random = 300, np.random.default_rng(seed)
    x, action = random.normal(size=n), random.integers(3, size=n)
    reward = ((action == 1) & (x > 0)).astype(float)
    return LoggedDecisions(
        IDS, action, np.full(n, 1 / 3), reward, contexts=pd.DataFrame({"x": x, "plan": "a"})
    )


MAKERS: dict[str, Callable[[], Policy]] = {
    "vowpal": lambda: VowpalPolicy(IDS).fit(a_log()),
    "averaged": lambda: Averaged([VowpalPolicy(IDS, seed=seed).fit(a_log()) for seed in (0, 1)]),
    "best_average": lambda: BestAverage(IDS).fit(a_log()),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved policy of each kind, and one vowpal policy of another log as `foreign`."""
    root = tmp_path_factory.mktemp("saved")
    for name, maker in MAKERS.items():
        maker().save(root / name, {"log_hash": "a"})
    VowpalPolicy(IDS).fit(a_log(seed=1)).save(root / "foreign")
    return {path.name: path for path in root.iterdir()}


def edited(change: Callable[[dict[str, Any]], Any]) -> Tamper:
    """Change the parsed `policy.json`."""

    def tamper(path: Path) -> None:
        content = json.loads((path / FILE).read_text())
        change(content)
        (path / FILE).write_text(json.dumps(content, indent=1) + "\n")

    return tamper


def put(name: str, content: bytes) -> Tamper:
    """Put other bytes into a file, or a new file."""
    return lambda path: (path / name).write_bytes(content)


def cut(name: str) -> Tamper:
    """Keep the first half of a file."""
    return lambda path: (path / name).write_bytes(
        (path / name).read_bytes()[: (path / name).stat().st_size // 2]
    )


def flipped(name: str) -> Tamper:
    """Flip one bit in the middle of a file."""

    def tamper(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (path / name).write_bytes(content)

    return tamper


def replaced(name: str, make: Callable[[Path], Any]) -> Tamper:
    """Put something that is no regular file in a file's place."""

    def tamper(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        make(path / name)

    return tamper


def linked(name: str) -> Tamper:
    """Replace a file by a link to an equal one elsewhere."""

    def tamper(path: Path) -> None:
        (path / name).rename(path.parent / "elsewhere")
        (path / name).symlink_to(path.parent / "elsewhere")

    return tamper


def huge(file: Path) -> None:
    """A sparse file of more bytes than any model has."""
    with file.open("wb") as stream:
        stream.truncate(LARGEST + 1)


def weights(change: Callable[[Any], Any], **given: Any) -> Callable[[str], Tamper]:
    """Save other weights, in the file of a member or of the policy itself."""

    def of(prefix: str) -> Tamper:
        def tamper(path: Path) -> None:
            file = path / f"{prefix}weights.npy"
            np.save(file, change(np.load(file)), **given)

        return tamper

    return of


class Trap:
    """An object whose pickle makes a folder as soon as it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def swapped(one: str, other: str) -> Tamper:
    """Exchange two files or folders."""

    def tamper(path: Path) -> None:
        (path / one).rename(path / "third")
        (path / other).rename(path / one)
        (path / "third").rename(path / other)

    return tamper


def forge(path: Path, listed: Mapping[str, str] = {}) -> None:
    """Make `policy.json` agree with the files as they are now, and with itself."""
    content = json.loads((path / FILE).read_text())
    content["files"] = {name: file_digest(path, name) for name in content["files"]} | dict(listed)
    del content["sha256"]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    (path / FILE).write_text(json.dumps({**content, "sha256": digest}))


def outside(path_of: Callable[[Path], str]) -> Tamper:
    """List a file that lies outside, with its true digest, in an otherwise right `policy.json`."""

    def tamper(path: Path) -> None:
        (path.parent / "outside.txt").write_text("secret")
        digest = file_digest(path.parent, "outside.txt")
        forge(path, {path_of(path.parent): digest})

    return tamper


# Of every saved policy: what is done to it, and the file that the refusal names.
ANY: dict[str, tuple[Tamper, str]] = {
    "missing": (lambda path: (path / FILE).unlink(), FILE),
    "empty": (put(FILE, b""), FILE),
    "truncated": (cut(FILE), FILE),
    "zeros": (put(FILE, bytes(1000)), FILE),
    "not UTF-8": (lambda path: put(FILE, (path / FILE).read_text().encode("utf-16"))(path), FILE),
    "not JSON": (put(FILE, b"kind: vowpal"), FILE),
    "a pickle": (put(FILE, b"\x80\x04\x95\x00."), FILE),
    "a list": (put(FILE, b"[1, 2]"), FILE),
    "a list of pairs": (put(FILE, b'[["kind", "uniform"]]'), FILE),
    "null": (put(FILE, b"null"), FILE),
    "no keys": (put(FILE, b"{}"), FILE),
    "deep": (put(FILE, b"[" * 100_000), FILE),
    "a folder": (replaced(FILE, Path.mkdir), FILE),
    "a pipe": (replaced(FILE, os.mkfifo), FILE),
    "a link": (linked(FILE), FILE),
    "huge": (replaced(FILE, huge), FILE),
    "newer format": (edited(lambda content: content.update(schema_version=99)), FILE),
    "format as text": (edited(lambda content: content.update(schema_version="2")), FILE),
    "older format": (
        edited(lambda content: [content.pop(name) for name in ("files", "sha256")]),
        FILE,
    ),
    "unknown kind": (edited(lambda content: content.update(kind="gadget")), FILE),
    "code as kind": (edited(lambda content: content.update(kind="os:system")), FILE),
    "another kind": (edited(lambda content: content.update(kind="uniform")), FILE),
    "kind is a number": (edited(lambda content: content.update(kind=3)), FILE),
    "actions swapped": (edited(lambda content: content["state"]["action_ids"].reverse()), FILE),
    "actions gone": (edited(lambda content: content["state"].pop("action_ids")), FILE),
    "actions as text": (edited(lambda content: content["state"].update(action_ids="abc")), FILE),
    "another origin": (edited(lambda content: content["about"].update(log_hash="b")), FILE),
    "state is a list": (edited(lambda content: content.update(state=[])), FILE),
    "files is a list": (edited(lambda content: content.update(files=[FILE])), FILE),
    "no files": (edited(lambda content: content.pop("files")), FILE),
    "NaN": (edited(lambda content: content["state"].update(low=float("nan"))), FILE),
    "infinite": (edited(lambda content: content["state"].update(low=float("inf"))), FILE),
    "another digest": (edited(lambda content: content.update(sha256="0" * 64)), FILE),
    "digest is null": (edited(lambda content: content.update(sha256=None)), FILE),
    "listed above": (outside(lambda _: "../outside.txt"), "../outside.txt"),
    "listed elsewhere": (outside(lambda folder: str(folder / "outside.txt")), "outside.txt"),
    "another file": (put("notes.txt", b"hello"), "notes.txt"),
    "a pickle beside": (put("policy.pkl", b"\x80\x04\x95\x00."), "policy.pkl"),
    "a link beside": (lambda path: (path / "link").symlink_to("/etc/hostname"), "link"),
    "a link to a folder": (lambda path: (path / "link").symlink_to("/"), "link"),
    "a pipe beside": (lambda path: os.mkfifo(path / "pipe"), "pipe"),
}
# Of policies with weights, at a prefix: vowpal's own, and those of a member of an average.
WEIGHTED: dict[str, tuple[Callable[[str], Tamper], str]] = {
    "weights gone": (lambda at: lambda path: (path / f"{at}weights.npy").unlink(), "weights.npy"),
    "weights empty": (lambda at: put(f"{at}weights.npy", b""), "weights.npy"),
    "weights truncated": (lambda at: cut(f"{at}weights.npy"), "weights.npy"),
    "weights garbage": (lambda at: put(f"{at}weights.npy", b"\x93NUMPY" * 50), "weights.npy"),
    "weights negated": (weights(np.negative), "weights.npy"),
    "one bit flipped": (lambda at: flipped(f"{at}weights.npy"), "weights.npy"),
    "weights NaN": (weights(lambda held: held * np.nan), "weights.npy"),
    "weights infinite": (weights(lambda held: held + np.inf), "weights.npy"),
    "weights as text": (weights(lambda held: held.astype(str)), "weights.npy"),
    "weights of another shape": (weights(lambda held: held[:, 1:]), "weights.npy"),
    "weights pickled": (
        weights(lambda held: held.astype(object), allow_pickle=True),
        "weights.npy",
    ),
    "weights a folder": (lambda at: replaced(f"{at}weights.npy", Path.mkdir), "weights.npy"),
    "weights a pipe": (lambda at: replaced(f"{at}weights.npy", os.mkfifo), "weights.npy"),
    "weights a link": (lambda at: linked(f"{at}weights.npy"), "weights.npy"),
    "weights huge": (lambda at: replaced(f"{at}weights.npy", huge), "weights.npy"),
    "model gone": (lambda at: lambda path: (path / f"{at}model.vw").unlink(), "model.vw"),
    "model empty": (lambda at: put(f"{at}model.vw", b""), "model.vw"),
    "model garbage": (lambda at: put(f"{at}model.vw", b"garbage" * 99), "model.vw"),
    "model truncated": (lambda at: cut(f"{at}model.vw"), "model.vw"),
    "files swapped": (lambda at: swapped(f"{at}weights.npy", f"{at}model.vw"), "model.vw"),
    "text for a number": (
        lambda at: lambda path: edited(lambda content: content["state"].update(range=["0", "1"]))(
            path / at
        ),
        FILE,
    ),
    "settings changed": (
        lambda at: lambda path: edited(
            lambda content: content["state"]["settings"].update(exploration="epsilon:0.9")
        )(path / at),
        FILE,
    ),
    "encoder changed": (
        lambda at: lambda path: edited(
            lambda content: content["state"]["encoder"]["columns"].clear()
        )(path / at),
        FILE,
    ),
}
AVERAGED: dict[str, tuple[Tamper, str]] = {
    "member gone": (lambda path: shutil.rmtree(path / "member_1"), "member_1/model.vw"),
    "member added": (
        lambda path: shutil.copytree(path / "member_0", path / "member_2"),
        "member_2/model.vw",
    ),
    "members swapped": (swapped("member_0", "member_1"), "member_0/model.vw"),
    "members counted anew": (edited(lambda content: content["state"].update(members=1)), FILE),
}
BEST: dict[str, tuple[Tamper, str]] = {
    "averages negated": (
        edited(lambda content: content["state"].update(averages=[-1.0, -2.0, -3.0])),
        FILE,
    ),
    "averages as text": (
        edited(lambda content: content["state"].update(averages=["0.1", "0.2", "0.3"])),
        FILE,
    ),
    "too few averages": (edited(lambda content: content["state"]["averages"].pop()), FILE),
}
CASES = [
    *((kind, name, *case) for kind in MAKERS for name, case in ANY.items()),
    *(("vowpal", name, of(""), file) for name, (of, file) in WEIGHTED.items()),
    *(
        ("averaged", name, of("member_1/"), f"member_1/{file}")
        for name, (of, file) in WEIGHTED.items()
    ),
    *(("averaged", name, *case) for name, case in AVERAGED.items()),
    *(("best_average", name, *case) for name, case in BEST.items()),
]


@pytest.mark.parametrize(
    ("kind", "tamper", "file"),
    [pytest.param(kind, *case, id=f"{kind}-{name}") for kind, name, *case in CASES],
)
def test_a_tampered_policy_is_refused_by_the_name_of_the_file(
    saved: dict[str, Path], tmp_path: Path, kind: str, tamper: Tamper, file: str
) -> None:
    """Whatever was done to whichever file, loading is an error that names it and says what to do."""
    path = tmp_path / "policy"
    shutil.copytree(saved[kind], path)
    tamper(path)
    with pytest.raises(ModelFileError) as caught:
        load_policy(path)
    assert f"{file}'" in caught.value.what
    assert caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize("kind", MAKERS)
def test_an_untouched_copy_decides_bit_for_bit(
    saved: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """A policy that is loaded from an exact copy of its files is the policy that was saved."""
    shutil.copytree(saved[kind], tmp_path / "copy")
    policy, expected = load_policy(tmp_path / "copy"), MAKERS[kind]()
    shown = a_log(seed=2).contexts
    assert np.array_equal(policy.distribution(shown), expected.distribution(shown))
    assert policy.params == expected.params
    assert policy.about == {"log_hash": "a"}


@pytest.mark.parametrize(
    ("change", "given"),
    [
        (lambda held: held[:, 1:], {}),
        (lambda held: held * np.nan, {}),
        (lambda held: held.astype(str), {}),
        (lambda held: held.astype(object), {"allow_pickle": True}),
    ],
)
def test_forged_weights_are_refused_though_their_digest_fits(
    saved: dict[str, Path], tmp_path: Path, change: Callable[[Any], Any], given: Any
) -> None:
    """Weights of another shape or type, or not finite, are refused where every digest is forged."""
    shutil.copytree(saved["vowpal"], tmp_path / "policy")
    weights(change, **given)("")(tmp_path / "policy")
    forge(tmp_path / "policy")
    with pytest.raises(ModelFileError, match="policy.json' of a saved policy cannot be used"):
        load_policy(tmp_path / "policy")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("kind"),
        lambda content: content.update(kind=["uniform"]),
        lambda content: content.update(kind="as_deployed"),
        lambda content: content.pop("state"),
        lambda content: content.update(state=3),
        lambda content: content["state"].pop("action_ids"),
        lambda content: content["state"].update(range=[0]),
        lambda content: content["state"].update(range="low"),
        lambda content: content["state"]["learned"].update(more=1),
        lambda content: content["state"]["settings"].update(learning_rate="fast"),
        lambda content: content["state"]["settings"].update(passes=float("nan")),
        lambda content: content["state"]["encoder"]["columns"].pop(),
        lambda content: content.update(about=3),
    ],
)
def test_a_forged_description_is_refused_though_its_digest_fits(
    saved: dict[str, Path], tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    """A `policy.json` that agrees with itself and describes no policy is a typed error as well."""
    shutil.copytree(saved["vowpal"], tmp_path / "policy")
    edited(change)(tmp_path / "policy")
    forge(tmp_path / "policy")
    with pytest.raises(ModelFileError) as caught:
        load_policy(tmp_path / "policy")
    assert FILE in str(caught.value)
    assert caught.value.hint


def test_no_pickle_is_ever_loaded(saved: dict[str, Path], tmp_path: Path) -> None:
    """A pickle in the place of the weights runs nothing, even where every digest is forged."""
    path, sprung = tmp_path / "policy", tmp_path / "sprung"
    shutil.copytree(saved["vowpal"], path)
    np.save(path / "weights.npy", np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    forge(path)
    with pytest.raises(ModelFileError, match="allow_pickle"):
        load_policy(path)
    assert not sprung.exists()


def test_a_policy_may_be_saved_over_another(saved: dict[str, Path], tmp_path: Path) -> None:
    """Saving into a directory that holds a policy leaves the new one, which can be loaded."""
    MAKERS["averaged"]().save(tmp_path)
    UniformPolicy(IDS).save(tmp_path)
    assert load_policy(tmp_path).params == UniformPolicy(IDS).params
    MAKERS["vowpal"]().save(tmp_path)
    assert load_policy(tmp_path).params == MAKERS["vowpal"]().params


def test_a_policy_is_not_saved_beside_a_link(tmp_path: Path) -> None:
    """A directory with a link in it is refused at once, not at the next load."""
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(ModelFileError, match="'link'"):
        UniformPolicy(IDS).save(tmp_path)
