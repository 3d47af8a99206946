"""Sets of classes that hold the right one as often as is asked for, whatever the model: split conformal prediction.

A class is in the set where its score, 1 less its probability, is not among the largest of the held-back images' (Vovk
et al., 2005; the score LAC of Sadinle et al., 2019). Whether a class at the border is in is drawn: without that the
sets of n images hold the right class in k of n + 1 cases only, k a whole number, and more often where scores are equal
(smoothed p-values: Vovk et al., 2005, chapter 2). The draw is a hash of the image, so one image has one answer. It
holds for images drawn like the held-back ones. APS and RAPS (Romano et al., 2020; Angelopoulos et al., 2021) were
measured beside it (docs/predicting.md).
"""

import hashlib
import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tasks.calibrate.temperature import Floats, Ints
from tasks.contracts.prepared import Pixels

DRAWS_CODE = 1  # raised when a draw changes
_GRID_PX = 4  # a hash of every fourth row and column takes a sixteenth of the time, and no two pictures agree there
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


def plausible(
    probabilities: Floats, scores: NDArray[np.floating], share: float, draws: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Which classes are in the set of each image: (n, classes), (held-back images,), (n,) -> (n, classes).

    `draws` are uniform in [0, 1), one for each image. Over them and over images a set holds the right class in exactly
    `share` of cases, however few images were held back and however many scores are equal. A set may be empty.
    """
    ordered = np.sort(scores)
    asked = (1 - probabilities).astype(ordered.dtype)
    below, up_to = (np.searchsorted(ordered, asked, side) for side in ("left", "right"))
    as_high = len(ordered) - up_to + draws[:, None] * (up_to - below + 1)  # n + 1 times the p-value
    found: NDArray[np.bool_] = as_high > (len(ordered) + 1) * float(1 - _exact(share))
    return found


def draws_of(pixels: Pixels) -> Floats:
    """A number in [0, 1) for each of the prepared `pixels` (n, side, side, 3): the same for the same picture."""
    grids = pixels[:, ::_GRID_PX, ::_GRID_PX]
    hashes = (hashlib.sha256(grid.tobytes()).digest()[:6] for grid in grids)
    return np.array([int.from_bytes(one) / 2**48 for one in hashes], np.float64)


def _exact(share: float) -> Fraction:
    """What a person means by 0.9, of which a float is a hair more or less; it would move a rank by one."""
    return Fraction(share).limit_denominator(_FINEST)
