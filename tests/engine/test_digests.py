"""Digests: the values that tables and tags already hold."""

from __future__ import annotations

import hashlib

import numpy as np

from engine.digests import array_digest, text_digest


def test_texts_and_arrays_keep_their_digests() -> None:
    """A digest is 12 hex digits of SHA-256: of the lines, or of the array's bytes row by row."""
    assert text_digest("a", "b") == hashlib.sha256(b"a\nb").hexdigest()[:12]
    rows = np.arange(6.0).reshape(2, 3)
    assert array_digest(rows) == hashlib.sha256(rows.tobytes()).hexdigest()[:12]
    assert array_digest(np.asfortranarray(rows)) == array_digest(rows)
