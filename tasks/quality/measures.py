"""What is measured of a picture: numbers only; verdicts.py holds them against limits later.

Everything is read from the upright picture in grey with a short side of at most 256 px, and from a thumbnail in colour
(contracts/images.py), so a measure means the same for a small copy of a photograph and for the photograph.
docs/checks.md describes each.
"""

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
RGB = NDArray[np.uint8]
Histogram = NDArray[np.int64]

TAIL = 0.001  # small enough for the stars of a night sky, large enough for hot pixels
FLAT = 0.04  # of full scale; below it steps are noise


@dataclass(frozen=True)
class Measures:
    """The measures of one picture; each field is a column of `data/checked.parquet`."""

    luminance_low: float  # [0, 1]: the darkest and the brightest of the picture, but for 0.1 %
    luminance_median: float
    luminance_high: float
    contrast: float  # [0, 1]: luminance_high - luminance_low
    entropy_bits: float  # [0, 8]
    sharpness: float  # [0, 1] and rarely above; NaN in a flat picture, where no edge can be judged
    colour: float  # [0, 1]: how far the channels of the most colourful pixels are apart, but for 1 %


def measure(grey: Grey, thumbnail: RGB) -> Measures:
    """All measures of one picture: `grey` of shape (height, width), `thumbnail` of shape (side, side, 3)."""
    counts = histogram(grey)
    low, median, high = (percentile(counts, share) / 255 for share in (TAIL, 0.5, 1 - TAIL))
    return Measures(
        luminance_low=low,
        luminance_median=median,
        luminance_high=high,
        contrast=high - low,
        entropy_bits=entropy_bits(counts),
        sharpness=sharpness(grey, high - low),
        colour=colour(thumbnail),
    )


def histogram(levels: Grey) -> Histogram:
    """How many pixels have each of the 256 levels."""
    return np.asarray(cv2.calcHist([levels], [0], None, [256], [0, 256]), np.int64).ravel()


def percentile(counts: Histogram, share: float) -> int:
    """The smallest level that at least `share` of the pixels do not exceed."""
    below = np.cumsum(counts)
    return int(np.searchsorted(below, share * below[-1]))


def entropy_bits(counts: Histogram) -> float:
    """Shannon's entropy of the levels: 0 for one flat tone, 8 where all levels are equally frequent."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # not -0.0


def sharpness(grey: Grey, contrast: float) -> float:
    """The steepest step from pixel to pixel (but for 0.1 %) as a share of the picture's `contrast`.

    A step edge that is blurred by a Gaussian of s px has a slope of 1 / (2.5 s) of its height, so the value does not
    depend on contrast, and a sharp subject before a soft background is sharp. NaN where the contrast is below FLAT.
    """
    if contrast < FLAT or min(grey.shape) < 2:
        return math.nan
    right, down = cv2.absdiff(grey[:-1, 1:], grey[:-1, :-1]), cv2.absdiff(grey[1:, :-1], grey[:-1, :-1])
    steps = cast(Grey, cv2.max(right, down))
    return percentile(histogram(steps), 1 - TAIL) / 255 / contrast


def colour(picture: RGB) -> float:
    """The 99th percentile of the largest minus the smallest channel of a pixel; 0 for a grey picture."""
    red, green, blue = cv2.split(picture)  # numpy's maximum over the last axis takes twenty times as long
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return percentile(histogram(cast(Grey, spread)), 0.99) / 255
