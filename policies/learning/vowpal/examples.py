"""Encoded contexts as Vowpal Wabbit text, by columns, never by rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Union
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from policies.encoder import SATURATION, STEPS, Encoded
from policies.log import Bools, Floats, Ints

Pieces = list[Union[str, pa.Array]]  # text columns, and text that every row shares


def feature_text(encoded: Encoded) -> Pieces:
    """Pieces of text which, joined row by row, are the features of these contexts.

    Features are called by their place in the encoder's matrix (f0, f1 …): names and levels never
    reach the text, where `:`, `|` and numeric names mean something.
    """
    pieces: dict[int, Pieces] = {}
    for index, values in encoded.numbers:
        step = np.rint((values + SATURATION) * STEPS)
        pieces[index] = [f" f{index}:", _take(_number_texts(), step)]
    for columns, code in encoded.codes:
        pieces[columns.start] = [_take(["", *(f" f{index}" for index in columns)], code)]
    return [part for index in sorted(pieces) for part in pieces[index]]


def unit_texts(size: int) -> list[str]:
    """The features of a context of zeros, and of every unit vector of the matrix (p + 1)."""
    return ["", *(f" f{index}" for index in range(size))]


def row_texts(encoded: Encoded) -> list[str]:
    """The features of every context, one text a row."""
    opening = _take([""], np.zeros(encoded.n))
    return list(_rows([opening, *feature_text(encoded)]).to_pylist())


def action_texts(
    action_ids: Sequence[str], features: Mapping[str, Mapping[str, Any]] | None = None
) -> list[str]:
    """Each action's namespace: its own name, and what describes it; every name made safe.

    An action is called by its id, so a model goes on learning where actions come and go.
    """
    return [
        "|a "
        + " ".join([_safe("a", name), *map(_described, (features or {}).get(name, {}).items())])
        for name in action_ids
    ]


def _described(item: tuple[str, Any]) -> str:
    name, value = item
    if isinstance(value, str):
        return _safe("c", name, value)
    return f"{_safe('n', name)}:{float(value)!r}"


def _safe(*parts: str) -> str:
    return ".".join(quote(part, safe="").replace(".", "%2E") for part in parts)


def regression_lines(
    features: Pieces, actions: Sequence[str], action: Ints, cost: Floats, weight: Floats
) -> memoryview:
    """One importance-weighted regression line a decision: `cost weight |s … |a …`."""
    ends = _take([f" {text}\n" for text in actions], action)
    return _joined([_decimals(cost), " ", _decimals(weight), " |s", *features, ends])


def adf_lines(
    features: Pieces,
    actions: Sequence[str],
    action: Ints,
    cost: Floats,
    probability: Floats,
    eligible: Bools,
) -> memoryview:
    """Full `cb_adf` text: a shared line, a line an eligible action; the drawn one has a label."""
    label = _rows(["0:", _decimals(cost), ":", _decimals(probability), " "])
    pieces: Pieces = ["shared |s", *features, "\n"]
    for index, text in enumerate(actions):
        pieces.append(pc.if_else(pa.array(action == index), label, ""))
        pieces.append(_take(["", f"{text}\n"], eligible[:, index]))
    return _joined([*pieces, "\n"])


@lru_cache(maxsize=1)
def _number_texts() -> pa.StringArray:
    """The text of every number that an encoder gives: from -5 to 5 in steps of a ten-thousandth."""
    size = int(SATURATION * STEPS)
    return pc.cast(pa.array(np.arange(-size, size + 1) / STEPS), pa.string())


def _take(table: list[str] | pa.Array, which: npt.NDArray[Any]) -> pa.Array:
    return pa.array(table).take(pa.array(which.astype(np.int64)))


def _decimals(values: Floats) -> pa.Array:
    return pc.cast(pa.array(values.astype(np.float32)), pa.string())


def _rows(pieces: Pieces) -> pa.StringArray:
    return pc.binary_join_element_wise(*pieces, "")


def _joined(pieces: Pieces) -> memoryview:
    """The rows' texts one after the other: the bytes as Arrow already holds them."""
    rows = _rows(pieces)
    ends = np.frombuffer(rows.buffers()[1], dtype=np.int32)
    return memoryview(rows.buffers()[2])[: int(ends[len(rows)])]
