"""Whether two sets of images are alike: how far apart they are in one trait, between 0 and 1, and could that be chance?

Both distances say the same thing: which share of the images would have to be others. For values it is the total
variation, for numbers the largest such share over all cuts in two (Kolmogorov and Smirnov).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, ks_2samp

from tasks.bias.tables import Codes, chi_square
from tasks.contracts.records import Statistic

MIN_IMAGES = 10  # of each set
_DRAWS = 9_999
_RESAMPLES = 500
_LEAST_EXPECTED = 5.0  # Cochran, 1954
_BOUND = np.log(4 / 0.05) / 2  # of Dvoretzky, Kiefer and Wolfowitz (Massart, 1990), for two sets at 95 %

Correct = Callable[[Sequence[float]], list[float]]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sets:
    """Which of n images belong to the one set and which to the other."""

    first: Bools
    second: Bools


def values_apart(name: str, codes: Codes, sets: Sets, rng: np.random.Generator) -> Statistic:
    """The total variation of two sets in the values that `codes` (n,) stand for; the p-value is not yet corrected."""
    width = int(codes.max(initial=0)) + 1
    table = np.stack([np.bincount(codes[rows], minlength=width) for rows in (sets.first, sets.second)])
    n, how = int(table.sum()), "total variation, bias-aware bootstrap; chi-square p, exact where counts are low"
    if table.sum(axis=1).min() < MIN_IMAGES:
        return Statistic(name, None, n, status="too_small", estimator=how)
    ours = table / table.sum(axis=1, keepdims=True)
    value = float(_variation(ours[0], ours[1]))
    drawn = [
        rng.multinomial(total, share, size=_RESAMPLES) / total for total, share in zip(table.sum(1), ours, strict=True)
    ]
    # noise alone keeps two sets apart: what resampled sets stray from ours bounds it (the triangle inequality)
    noise = float(np.quantile(_variation(drawn[0], ours[0]) + _variation(drawn[1], ours[1]), 0.95))
    low, high = max(0.0, value - noise), min(1.0, value + noise)
    return Statistic(name, value, n, low, high, estimator=how, p_value=p_of_table(table, rng))


def numbers_apart(name: str, numbers: Floats, sets: Sets) -> Statistic:
    """The Kolmogorov-Smirnov distance of two sets; images without the number are left out."""
    one, other = (numbers[rows & np.isfinite(numbers)] for rows in (sets.first, sets.second))
    n, how = len(one) + len(other), "Kolmogorov-Smirnov, Dvoretzky-Kiefer-Wolfowitz bounds"
    if min(len(one), len(other)) < MIN_IMAGES:
        return Statistic(name, None, n, status="too_small", estimator=how)
    found = ks_2samp(one, other, method="asymp")
    value, margin = float(found.statistic), float(np.sqrt(_BOUND / len(one)) + np.sqrt(_BOUND / len(other)))
    low, high = max(0.0, value - margin), min(1.0, value + margin)
    return Statistic(name, value, n, low, high, estimator=how, p_value=float(found.pvalue))


def p_of_table(table: NDArray[np.int64], rng: np.random.Generator) -> float:
    """Whether both rows of a table of counts (2, values) are of one kind.

    Pearson's chi-square; where an expected count is small, the same statistic over random tables with these margins.
    """
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or table.sum(axis=1).min() == 0:
        return 1.0
    seen = chi_square(table.astype(np.float64))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    if expected.min() >= _LEAST_EXPECTED:
        return float(chi2.sf(seen, table.shape[1] - 1))
    drawn = rng.multivariate_hypergeometric(table.sum(axis=0), int(table[0].sum()), size=_DRAWS, method="marginals")
    both = ((drawn - expected[0]) ** 2 * (1 / expected[0] + 1 / expected[1])).sum(axis=1)
    return float((1 + (both >= seen * (1 - 1e-9)).sum()) / (1 + _DRAWS))


def corrected(statistics: list[Statistic], correct: Correct, over: str) -> list[Statistic]:
    """The statistics with the p-values of all that were tested corrected; `over` says so in words."""
    tested = [i for i, one in enumerate(statistics) if one.p_value is not None]
    p_values = dict(zip(tested, correct([statistics[i].p_value or 0.0 for i in tested]), strict=True))
    return [
        replace(one, p_value=p_values[i], correction=over) if i in p_values else one for i, one in enumerate(statistics)
    ]


def _variation(one: Floats, other: Floats) -> Floats:
    half: Floats = np.abs(one - other).sum(axis=-1) / 2
    return half
