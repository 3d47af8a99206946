"""Contingency tables of counts: how strongly rows and columns go together, and how sure that is."""

import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 10_000  # of a table; more say little that chance would not
_RESAMPLES = 200  # for the interval
_CELLS_AT_ONCE = 2_000_000

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def count(rows: Codes, columns: Codes) -> Floats:
    """The table of two codings 0 .. K-1 of the same images."""
    width = int(columns.max()) + 1
    counts = np.bincount(rows * width + columns, minlength=(int(rows.max()) + 1) * width)
    return counts.reshape(-1, width).astype(np.float64)


def merged(codes: Codes, most: int) -> Codes:
    """The codes with at most `most` levels: beyond, the rarest stand together as the last one."""
    sizes = np.bincount(codes)
    if len(sizes) <= most:
        return codes
    places = np.full(len(sizes), most - 1, np.int64)
    places[np.argsort(-sizes, kind="stable")[: most - 1]] = np.arange(most - 1)
    return places[codes]


def most_levels(rows: int) -> int:
    """How many columns a table with so many rows may have."""
    return max(2, MOST_CELLS // max(1, rows))


def chi_square(table: Floats) -> float:
    """Pearson's statistic of a table without empty rows or columns."""
    return float(table.sum() * ((table**2 / table.sum(1, keepdims=True) / table.sum(0)).sum() - 1))


def cramers_v(table: Floats) -> float:
    """Bias-corrected Cramer's V of a table (rows, columns), in [0, 1].

    W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T", 2013. NaN where a margin has one level only.
    """
    return float(_strengths(table[None])[0])


def interval(table: Floats, value: float, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile interval of Cramer's V from resampled tables, widened to hold the `value` itself."""
    n, cells = int(table.sum()), np.flatnonzero(table)
    shares = table.ravel()[cells] / n
    step = max(1, _CELLS_AT_ONCE // table.size)
    values = []
    for start in range(0, _RESAMPLES, step):
        drawn = np.zeros((min(step, _RESAMPLES - start), table.size))
        drawn[:, cells] = rng.multinomial(n, shares, size=len(drawn))
        values.append(_strengths(drawn.reshape(-1, *table.shape)))
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (value, value)
    return float(min(low, value)), float(max(high, value))


def _strengths(tables: Floats) -> Floats:
    """Cramer's V of each table of a stack (tables, rows, columns); empty rows and columns are not there."""
    n, by_row, by_column = tables.sum((1, 2)), tables.sum(2), tables.sum(1)
    rows, columns = (by_row > 0).sum(1), (by_column > 0).sum(1)
    expected = by_row[:, :, None] * by_column[:, None, :]
    phi2 = np.divide(tables**2, expected, out=np.zeros_like(tables), where=expected > 0).sum((1, 2)) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        shrink = 1.0 / (n - 1)
        corrected = np.maximum(0.0, phi2 - (rows - 1) * (columns - 1) * shrink)
        most = np.minimum(rows - (rows - 1) ** 2 * shrink, columns - (columns - 1) ** 2 * shrink) - 1
        values: Floats = np.minimum(1.0, np.sqrt(corrected / most))
    values[(np.minimum(rows, columns) < 2) | (n < 2) | (most <= 0)] = np.nan
    return values
