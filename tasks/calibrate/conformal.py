"""Sets of classes that hold the right one as often as is asked for, whatever the model: split conformal prediction.

A class is in the set where its score, 1 less its probability, is at most the one that the asked share of held-back
images stays below (Vovk et al., 2005; the score LAC of Sadinle et al., 2019). It holds for images drawn like the
held-back ones. APS and RAPS (Romano et al., 2020; Angelopoulos et al., 2021) were measured beside it
(docs/predicting.md).
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tasks.calibrate.temperature import Floats, Ints

_FINEST = 10**6  # the largest denominator of a share


def scores_of(probabilities: Floats, targets: Ints) -> Floats:
    """How little the model believes in the right class of each image: (n, classes) and (n,) -> (n,), in [0, 1]."""
    found: Floats = 1 - probabilities[np.arange(len(targets)), targets]
    return found


def quantile(scores: NDArray[np.floating], share: float) -> float | None:
    """The k-th smallest of n scores, k = ceil((n + 1) * share): a new one is above it at most 1 - share of the time.

    None where n is too small for that (k > n): then no finite value would do.
    """
    rank = math.ceil((len(scores) + 1) * _exact(share))
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else None


def least_images(share: float) -> int:
    """The fewest held-back images that `quantile` can give `share` with."""
    return math.ceil(_exact(share) / (1 - _exact(share)))


def plausible(probabilities: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which classes are in the set of each image: (n, classes) -> (n, classes). A set may be empty."""
    found: NDArray[np.bool_] = 1 - probabilities <= threshold
    return found


def _exact(share: float) -> Fraction:
    """What a person means by 0.9, of which a float is a hair more or less; it would move a rank by one."""
    return Fraction(share).limit_denominator(_FINEST)
