"""Whether the label goes with a metadata column: a camera, a site or a source that gives the label away."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.records import Finding, Severity, Statistic

BINS = 5
WARN_AT = 0.5
INFO_AT = 0.1
MOST_IMAGES = 50_000  # more are sampled: the permutations cost time, and no p-value gets sharper
MIN_IMAGES = 20
_RESAMPLES = 500  # for the interval
_MISSING = "(missing)"
_NAME = "Cramer's V"
_ESTIMATOR = "bias-corrected (Bergsma 2013), percentile bootstrap, permutation p corrected by Holm over columns"

Codes = NDArray[np.int64]


def cramers_v(table: NDArray[np.float64]) -> float:
    """Bias-corrected Cramer's V of a contingency table of counts (rows, columns), in [0, 1].

    W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T", 2013. NaN where a margin has one level only.
    """
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    n, (rows, columns) = table.sum(), table.shape
    if n < 2 or min(rows, columns) < 2:
        return float("nan")
    shrink = 1.0 / (n - 1)
    phi2 = max(0.0, chi_square(table) / n - (rows - 1) * (columns - 1) * shrink)
    rows_corrected, columns_corrected = rows - (rows - 1) ** 2 * shrink, columns - (columns - 1) ** 2 * shrink
    most = min(rows_corrected, columns_corrected) - 1
    return float(min(1.0, np.sqrt(phi2 / most))) if most > 0 else float("nan")


def chi_square(table: NDArray[np.float64]) -> float:
    """Pearson's statistic of a table without empty rows or columns."""
    return float(table.sum() * ((table**2 / table.sum(1, keepdims=True) / table.sum(0)).sum() - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the family-wise p-value of each test, in the given order."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return corrected.tolist()


def associations(
    labels: pd.Series, columns: pd.DataFrame, permutations: int, rng: np.random.Generator
) -> tuple[Statistic, ...]:
    """Cramer's V of the label with each column, in the order of the columns; those not measured say why."""
    if len(labels) > MOST_IMAGES:
        chosen = np.sort(rng.permutation(len(labels))[:MOST_IMAGES])
        labels, columns = labels.iloc[chosen], columns.iloc[chosen]
    codes = np.unique(labels.to_numpy(dtype=str), return_inverse=True)[1]
    # so many that the smallest p-value survives the correction
    rounds = max(permutations, 40 * columns.shape[1])
    results = [_measure(str(name), codes, columns[name], rounds, rng) for name in columns]
    measured = [i for i, one in enumerate(results) if one.p_value is not None]
    corrected = dict(zip(measured, holm([results[i].p_value or 0.0 for i in measured]), strict=True))
    return tuple(
        Statistic(one.name, one.value, one.n, one.low, one.high, one.status, one.estimator, corrected.get(i))
        for i, one in enumerate(results)
    )


def levels(values: pd.Series) -> tuple[Codes, str]:
    """Each row's level as a code, and why the column cannot be measured ("" where it can).

    Numbers with many values are cut at their quantiles; a missing value is a level of its own.
    """
    known = values.notna()
    if not known.any():
        return np.zeros(len(values), np.int64), "the column is empty"
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers[known].notna().all() and not pd.api.types.is_bool_dtype(values) and numbers.nunique() > 2 * BINS:
        edges = np.quantile(numbers[known], np.linspace(0, 1, BINS + 1)[1:-1])
        codes = np.where(known, np.searchsorted(edges, numbers.fillna(0.0), side="right"), BINS)
        return np.unique(codes, return_inverse=True)[1], ""
    text = values.astype("object").where(known, _MISSING).astype(str)
    names, codes = np.unique(text.to_numpy(dtype=str), return_inverse=True)
    if len(names) == 1:
        return codes, "the column has one value only"
    if len(names) > len(values) / 2:
        return codes, "the column names single images"
    return codes, ""


def findings(results: Sequence[Statistic]) -> list[Finding]:
    """What of `associations` is both more than chance and large enough to matter, the strongest first."""
    found = []
    for one in sorted(results, key=lambda one: (-(one.value or 0.0), one.name)):
        if one.value is None or one.p_value is None or one.p_value > 0.05 or one.value < INFO_AT:
            continue
        severity: Severity = "warn" if one.value >= WARN_AT else "info"
        column = column_of(one)
        how = "closely: a model can learn it instead" if one.value >= WARN_AT else "somewhat"
        message = f"the label goes with {column} (V {one.value:.2f}, p {one.p_value:.3f}) {how}"
        remedy = f"balance {column} over the classes, or group and evaluate by it"
        found.append(Finding("association", severity, column, one, message, remedy))
    return found


def column_of(statistic: Statistic) -> str:
    """The metadata column that a statistic of `associations` is about."""
    return statistic.name.removeprefix(f"{_NAME} of label and ")


def _measure(name: str, labels: Codes, values: pd.Series, rounds: int, rng: np.random.Generator) -> Statistic:
    title = f"{_NAME} of label and {name}"
    codes, problem = levels(values)
    if problem:
        return Statistic(title, None, len(labels), status="not_measurable", estimator=f"not measured: {problem}")
    if len(labels) < MIN_IMAGES:
        return Statistic(title, None, len(labels), status="too_small", estimator=_ESTIMATOR)
    table = _table(labels, codes, codes.max() + 1)
    value = cramers_v(table)
    if not np.isfinite(value):
        problem = "one label only, or as many levels as images"
        return Statistic(title, None, len(labels), status="not_measurable", estimator=f"not measured: {problem}")
    observed = chi_square(table) * (1 - 1e-9)  # equal tables must compare as equal
    null = [chi_square(_table(rng.permutation(labels), codes, codes.max() + 1)) for _ in range(rounds)]
    p_value = (1 + sum(one >= observed for one in null)) / (1 + rounds)
    low, high = _interval(table, value, rng)
    return Statistic(title, value, len(labels), low, high, estimator=_ESTIMATOR, p_value=p_value)


def _table(labels: Codes, codes: Codes, width: int) -> NDArray[np.float64]:
    counts = np.bincount(labels * width + codes, minlength=(labels.max() + 1) * width)
    return counts.reshape(-1, width).astype(np.float64)


def _interval(table: NDArray[np.float64], value: float, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile interval from resampled tables, widened to hold the value itself."""
    n = int(table.sum())
    drawn = rng.multinomial(n, (table / n).ravel(), size=_RESAMPLES).reshape(-1, *table.shape)
    values = [v for v in (cramers_v(one.astype(np.float64)) for one in drawn) if np.isfinite(v)]
    low, high = np.quantile(values, [0.025, 0.975]) if values else (value, value)
    return float(min(low, value)), float(max(high, value))
