"""Drift: how far today's contexts are from those that the models were fitted on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

BINS = 10
LEAST_SHARE = 1e-4


def psi(reference: pd.Series, current: pd.Series) -> float:
    """Population stability index, sum over bins of (c - r) ln(c / r).

    Numbers fall into the reference's deciles, text into its levels; missing values are a bin of
    their own. Empty bins count as a share of 1e-4. Below .1 is commonly read as stable, above
    .2 as changed (Siddiqi, Credit Risk Scorecards, 2006).

    Args:
        reference: values the models were fitted on.
        current: values of today.
    """
    samples = (reference, current)
    if pd.api.types.is_numeric_dtype(reference) and not pd.api.types.is_bool_dtype(reference):
        deciles = np.linspace(0, 1, BINS + 1)[1:-1]
        edges = np.unique(np.nanquantile(reference.astype(float), deciles))
        bins, count = [_binned(values, edges) for values in samples], 2 * len(edges) + 2
    else:
        levels = pd.Index(pd.unique(pd.concat(samples).astype(str)))
        bins, count = [levels.get_indexer(values.astype(str)) for values in samples], len(levels)
    old, new = (
        np.maximum(np.bincount(sample, minlength=count) / max(len(sample), 1), LEAST_SHARE)
        for sample in bins
    )
    return float(np.sum((new - old) * np.log(new / old)))


def _binned(values: pd.Series, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Bins between edges; where deciles coincide an edge is a common value, and a bin of its own."""
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    bins = np.searchsorted(edges, numbers, side="left")
    if len(edges) < BINS - 1:
        bins += np.searchsorted(edges, numbers, side="right")
    bins[np.isnan(numbers)] = 2 * len(edges) + 1
    return np.asarray(bins, dtype=np.int64)


def drift_rows(reference: pd.DataFrame, current: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """One row a feature: subject, metric, value, threshold, status, no reason.

    The status is `stable` or `changed`; `unknown`, without a value, where there is no reference.
    """
    known = len(reference) > 0
    values = [psi(reference[name], current[name]) if known else np.nan for name in reference]
    status = np.where(np.array(values) > threshold, "changed", "stable" if known else "unknown")
    return pd.DataFrame(
        {
            "subject": list(reference.columns),
            "metric": "psi",
            "value": values,
            "threshold": threshold,
            "status": status,
            "reason": None,
        }
    )
