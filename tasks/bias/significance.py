"""What a p-value of the audit is corrected for: everything that could have raised an alarm, over the whole audit.

Within a family the null is the largest statistic of all members when labels are permuted, so that what goes together
is not paid for twice (P. Westfall and S. Young, "Resampling-based multiple testing", 1993); the families share the
level by Bonferroni. So one alarm or more on data without any bias has a chance of at most LEVEL.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
FAMILIES = (
    "label and attributes",
    "split and attributes",
    "trivial features",
    "fixed overlays",
    "trivial models",
    "representativeness",
    "quality by group",
    "split drift",
)
_FEWEST = 199  # permutations; with fewer than 20 for each family no finding could survive the correction
_ROUNDING = 1e-9  # equal statistics must compare as equal, however they were summed


def correction(within: str) -> str:
    """In words, for a family whose members are `within`."""
    return f"Westfall-Young max-statistic over {within}, Bonferroni over {len(FAMILIES)} families"


def enough(permutations: int) -> int:
    """The permutations to make: as many as asked for, and as many as the correction needs."""
    return max(permutations, _FEWEST)


def family_wise(observed: float, null_maxima: NDArray[np.float64]) -> float:
    """The corrected p-value of one member, given the family's largest statistic in each permutation.

    The observed order counts as one of the permutations, which makes it valid however few there are
    (B. Phipson and G. Smyth, "Permutation p-values should never be zero", 2010).
    """
    beyond = int((null_maxima >= observed - _ROUNDING * max(1.0, abs(observed))).sum())
    return min(1.0, len(FAMILIES) * (1 + beyond) / (1 + len(null_maxima)))


def family_holm(p_values: Sequence[float]) -> list[float]:
    """The corrected p-values of a family that is tested without permutations of labels: Holm within."""
    return [min(1.0, len(FAMILIES) * p) for p in holm(p_values)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the family-wise p-value of each test, in the given order."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return corrected.tolist()
