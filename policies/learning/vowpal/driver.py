"""Vowpal Wabbit itself: its native driver as a process of its own, and predictions of models."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from policies.errors import LearningError
from policies.log import Floats

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # 9.10 warns of its own use of pkg_resources
    import vowpalwabbit


def learn(
    arguments: Sequence[str], text: Iterable[memoryview], *, passes: int = 1, start: bytes = b""
) -> bytes:
    """The model file of Vowpal Wabbit after reading a text.

    The driver is another process at the end of a pipe, so it learns while the next block is being
    formatted, and several can learn at once (inside Python it would hold the interpreter's lock).

    Args:
        arguments: its options.
        text: examples, a block at a time.
        passes: how often the text is learned from; more than once by way of a binary cache on disk.
        start: a model file to go on from.

    Raises:
        LearningError: it failed; with its last line of output.
    """
    with tempfile.TemporaryDirectory(prefix="vowpal-") as name:
        folder = Path(name)
        model, output = folder / "model", folder / "output"
        command = [sys.executable, "-m", "vowpalwabbit", "--quiet", "-d", "/dev/stdin"]
        command += ["-f", str(model), *arguments]
        if passes > 1:
            command += ["--passes", str(passes), "--cache_file", str(folder / "cache")]
            command += ["-k", "--holdout_off"]
        if start:
            (folder / "start").write_bytes(start)
            command += ["-i", str(folder / "start")]
        with output.open("wb") as log:
            code = _fed(command, text, log.fileno())
        if code or not model.exists():
            lines = output.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise LearningError(f"Vowpal Wabbit ended with exit code {code}: {lines[-1][:500]}")
        return model.read_bytes()


def _fed(command: Sequence[str], text: Iterable[memoryview], output: int) -> int:
    """The exit code of a command that read the text."""
    driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
    assert driver.stdin is not None
    try:
        for block in text:
            driver.stdin.write(block)
        driver.stdin.close()
    except BrokenPipeError:
        pass  # it ended before the text did, and its exit code and words say why
    except BaseException:
        driver.kill()
        raise
    finally:
        code = driver.wait()
    return code


def predictions(
    model: bytes, actions: Sequence[str], features: Sequence[str], *, adf: bool
) -> Floats:
    """The (m, k) predicted costs of m contexts, unclipped, one row at a time: slow.

    Args:
        model: a model file.
        actions: the k actions' namespaces.
        features: the m contexts' features, as in the text that was learned from.
        adf: whether the model is of `cb_adf`, or a regression.
    """
    with tempfile.NamedTemporaryFile(prefix="vowpal-") as file:
        file.write(model)
        file.flush()
        workspace = vowpalwabbit.Workspace(arg_list=["--quiet", "-t", "-i", file.name])
    if adf:
        costs = [workspace.predict([f"shared |s{row}", *actions]) for row in features]
    else:
        costs = []
        for line in (f"|s{row} {action}" for row in features for action in actions):
            example = workspace.example(line)
            workspace.predict(example)  # clips its own answer to the costs that were seen
            costs.append(example.get_partial_prediction())
            workspace.finish_example(example)
    workspace.finish()
    return np.array(costs, dtype=np.float64).reshape(len(features), len(actions))
