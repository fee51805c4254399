"""Digests of texts and arrays: the short hashes that tables and tags hold."""

from __future__ import annotations

import hashlib

import numpy as np


def text_digest(*texts: str) -> str:
    """12 hex digits of texts in this order (SHA-256 of their lines)."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def array_digest(array: np.ndarray) -> str:
    """12 hex digits of an array's bytes (SHA-256)."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]
