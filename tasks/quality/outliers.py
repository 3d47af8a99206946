"""How far a picture is from the others of its class, by its measures alone: no image is read, no network asked."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

_PLAIN = ("luminance_low", "luminance_median", "luminance_high", "entropy_bits")
_BY_RATIO = {"detail": 0.01, "sharpness": 0.02, "sharpness_least": 0.02, "texture": 0.002, "colour": 0.02}  # floors
_FARTHEST = 6.0  # robust deviations of one measure: more says nothing more
_NEIGHBOURS = 5  # a handful of equal strangers do not vouch for each other
_USUAL = 0.85  # quantile of the class's own distances: a class may be of several kinds, and some of its images strange
_FEW, _MANY = 20, 1000  # images of a class: below nothing is said, above so many stand for all
_AT_ONCE = 1000

Vectors = NDArray[np.float32]


def outlyingness(table: pd.DataFrame, sound: pd.Series) -> pd.Series:
    """The distance to the nearest others of the class, by that which is usual in the class; NaN where none is known.

    Only `sound` rows are compared: what is wrong for a known reason is strange for that reason.
    """
    rows = table[sound & table["contrast"].notna() & table["label"].notna()]
    vectors = _vectors(rows)
    found = pd.Series(np.nan, index=table.index)
    for places in rows.groupby("label").indices.values():
        if len(places) >= _FEW:
            with threadpool_limits(1, "blas"):  # so narrow products cost several threads more
                distances = _to_neighbours(vectors[places])
            found[rows.index[places]] = distances / max(float(np.quantile(distances, _USUAL)), 1e-6)
    return found


def _vectors(rows: pd.DataFrame) -> Vectors:
    """Each measure in robust deviations from the median of all classes."""
    by_ratio = [np.log(rows[name].clip(lower=floor)) for name, floor in _BY_RATIO.items()]
    table = pd.concat([rows[list(_PLAIN)], *by_ratio], axis="columns")
    away = table - table.median()
    scale = 1.4826 * away.abs().median() + 1e-3
    vectors: Vectors = (away / scale).clip(-_FARTHEST, _FARTHEST).fillna(0.0).to_numpy(np.float32)
    return vectors


def _to_neighbours(vectors: Vectors) -> NDArray[np.float64]:
    """The mean distance to the nearest others."""
    shown = np.arange(0, len(vectors), -(-len(vectors) // _MANY))
    references, found = vectors[shown], []
    for start in range(0, len(vectors), _AT_ONCE):
        some = vectors[start : start + _AT_ONCE]
        square = (some**2).sum(1)[:, None] + (references**2).sum(1) - 2 * some @ references.T
        square[np.arange(start, start + len(some))[:, None] == shown] = np.inf  # not oneself
        nearest = np.partition(square, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
        found.append(np.sqrt(np.maximum(nearest, 0)).mean(axis=1))
    return np.concatenate(found).astype(np.float64)
