"""What is measured of a picture: numbers only; verdicts.py holds them against limits later.

Almost everything is read from the upright picture in grey with a short side of at most 256 px, and from a thumbnail in
colour (contracts/images.py), so a measure means the same for a small copy of a photograph and for the photograph.
docs/checks.md describes each.
"""

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.images import Decoded
from tasks.quality.frames import border

Grey = NDArray[np.uint8]
RGB = NDArray[np.uint8]
Histogram = NDArray[np.int64]

TAIL = 0.001  # small enough for the stars of a night sky, large enough for hot pixels
FLAT = 0.04  # of full scale; below it steps are noise
_STEEP = 0.01  # the share of the pixels that say in which direction a picture is least sharp
_ENOUGH = 2000  # of these pixels: the others would not change the direction
_BLOCK_PX = 8  # of a JPEG
_LEAST_BLOCKS = 8  # along a side; of fewer no rhythm can be told
_EDGE = 40  # levels; a larger step belongs to the picture, not to its compression


@dataclass(frozen=True)
class Measures:
    """The measures of one picture; each field is a column of `data/checked.parquet`."""

    luminance_low: float  # [0, 1]: the darkest and the brightest of the picture, but for 0.1 %
    luminance_median: float
    luminance_high: float
    contrast: float  # [0, 1]: luminance_high - luminance_low
    entropy_bits: float  # [0, 8]
    detail: float  # [0, 1]: the steepest step in the thumbnail, but for 1 %
    sharpness: float  # [0, 1] and rarely above; NaN in a flat picture, where no edge can be judged
    sharpness_least: float  # the same along the one direction in which the picture is least sharp
    texture: float  # [0, 1]: the mean step from pixel to pixel
    colour: float  # [0, 1]: how far the channels of the most colourful pixels are apart, but for 1 %
    border: float  # [0, 1]: the share of the picture that a uniform frame takes
    blockiness: float  # [0, 1]: how much larger steps are at every 8th pixel; NaN where its pixels were not decoded


def measure(image: Decoded) -> Measures:
    """All measures of one picture."""
    counts = histogram(image.grey)
    low, median, high = (percentile(counts, share) / 255 for share in (TAIL, 0.5, 1 - TAIL))
    steps = steps_of(image.grey)
    slopes = histogram(steps) if steps.size else np.zeros(0, np.int64)
    return Measures(
        luminance_low=low,
        luminance_median=median,
        luminance_high=high,
        contrast=high - low,
        entropy_bits=entropy_bits(counts),
        detail=detail(image.thumbnail),
        sharpness=sharpness(slopes, high - low),
        sharpness_least=sharpness_least(image.grey, steps, slopes, high - low),
        texture=cv2.mean(steps)[0] / 255 if steps.size else 0.0,
        colour=colour(image.thumbnail),
        border=border(image.grey),
        blockiness=math.nan if image.core is None else blockiness(image.core),
    )


def histogram(levels: Grey) -> Histogram:
    """How many pixels have each of the 256 levels."""
    return np.asarray(cv2.calcHist([levels], [0], None, [256], [0, 256]), np.int64).ravel()


def percentile(counts: Histogram, share: float) -> int:
    """The smallest level that at least `share` of the pixels do not exceed."""
    below = counts.cumsum()
    return int(below.searchsorted(share * below[-1]))


def entropy_bits(counts: Histogram) -> float:
    """Shannon's entropy of the levels: 0 for one flat tone, 8 where all levels are equally frequent."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # not -0.0


def steps_of(grey: Grey) -> Grey:
    """The larger of the steps to the right and down, for all pixels but the last row and column."""
    corner = grey[:-1, :-1]
    if not corner.size:
        return corner
    right, down = cv2.absdiff(grey[:-1, 1:], corner), cv2.absdiff(grey[1:, :-1], corner)
    return cast(Grey, cv2.max(right, down))


def sharpness(slopes: Histogram, contrast: float) -> float:
    """The steepest of the steps (but for 0.1 %), whose histogram is `slopes`, as a share of the picture's `contrast`.

    A step edge that is blurred by a Gaussian of s px has a slope of 1 / (2.5 s) of its height, so the value does not
    depend on contrast, and a sharp subject before a soft background is sharp. NaN where the contrast is below FLAT.
    """
    if contrast < FLAT or not slopes.size:
        return math.nan
    return percentile(slopes, 1 - TAIL) / 255 / contrast


def sharpness_least(grey: Grey, steps: Grey, slopes: Histogram, contrast: float) -> float:
    """The sharpness along the direction in which the steepest edges change least; NaN where `sharpness` is.

    What a moving camera smears has no steep edge along the way it moved, however sharp it is across. The direction
    is the minor axis of the steepest hundredth of the steps.
    """
    if contrast < FLAT or not steps.size:
        return math.nan
    at = np.flatnonzero(steps.ravel() >= max(1, percentile(slopes, 1 - _STEEP)))
    stride = 1 + len(at) // _ENOUGH
    across, down = _gradients(grey, at[::stride], steps.shape[1])
    angle = 0.5 * math.atan2(2 * (across @ down), across @ across - down @ down)
    along = np.abs(down * math.cos(angle) - across * math.sin(angle))
    beyond = min(len(along), max(1, round(TAIL * steps.size / stride)))
    return float(np.partition(along, -beyond)[-beyond]) / 255 / contrast


def _gradients(grey: Grey, at: NDArray[np.int64], width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The steps to the right and down, with their sign, at the places `at` of an array `width` wide."""
    levels = grey.ravel()
    here = at + at // width  # a row of grey has one pixel more
    level = levels[here].astype(np.float32)
    return levels[here + 1] - level, levels[here + width + 1] - level


def detail(thumbnail: RGB) -> float:
    """The 99th percentile of the steps in the grey thumbnail, where grain has averaged out."""
    return percentile(histogram(steps_of(cast(Grey, cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY)))), 0.99) / 255


def colour(picture: RGB) -> float:
    """The 99th percentile of the largest minus the smallest channel of a pixel; 0 for a grey picture."""
    red, green, blue = cv2.split(picture)  # numpy's maximum over the last axis takes twenty times as long
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return percentile(histogram(cast(Grey, spread)), 0.99) / 255


def blockiness(core: Grey) -> float:
    """By how much the steps at every 8th pixel exceed their neighbours', down and across, whichever is less.

    `core` holds the file's own pixels: a change of size hides the blocks. The offset of the blocks may be any, as a
    picture may have been cropped since. NaN below 64 px.
    """
    if min(core.shape) < _BLOCK_PX * _LEAST_BLOCKS:
        return math.nan
    down = _rhythm(core[1:], core[:-1], 1)
    return min(down, _rhythm(core[:, 1:], core[:, :-1], 0)) if down > 0 else 0.0


def _rhythm(one: Grey, next_: Grey, axis: int) -> float:
    """The excess of the strongest of the eight offsets over the second."""
    steps = cv2.threshold(cv2.absdiff(one, next_), _EDGE, 0, cv2.THRESH_TOZERO_INV)[1]
    profile = cv2.reduce(steps, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() / steps.shape[axis] / 255
    excess = profile[1:-1] - (profile[:-2] + profile[2:]) / 2
    whole = len(excess) // _BLOCK_PX * _BLOCK_PX
    ranked = np.sort(excess[:whole].reshape(-1, _BLOCK_PX), axis=0)
    middle = np.sort((ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2)  # numpy's median takes ten times
    return max(0.0, float(middle[-1] - middle[-2]))
