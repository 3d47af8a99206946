"""A uniform frame around a picture, or bars at two opposite sides of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Profile = NDArray[np.float64]

_CORNER_PX = 3
_TONE = 10  # levels by which a frame's pixels may differ: a scanner's grain, the ringing of a JPEG
_STRAY = 0.02  # of a row's pixels that may differ more
_EDGE_PX = 6  # within which a frame ends: the blocks of a JPEG make its edge soft
_STRAIGHT = 0.75  # of the edge: a page's margin ends in letters and gaps, a frame in a picture
_WIDEST = 0.3  # of a side: a lone thing on white is no picture in a frame


def border(grey: Grey) -> float:
    """The share of the picture that its frame takes, 0 where there is none.

    The corners tell the frame's tone. Rows of that tone at both ends are bars, and so are columns. They are a frame
    only where they end along a straight line.
    """
    tone = _corner_tone(grey)
    if not any(_is_bar(rim, tone) for rim in (grey[0], grey[:, 0])):
        return 0.0  # most photographs: told from a row and a column
    inside = cv2.bitwise_not(cv2.inRange(grey, max(0, tone - _TONE), min(255, tone + _TONE)))  # type: ignore[call-overload]
    rows, columns = (cv2.reduce(inside, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() / 255 for axis in (1, 0))
    down, across = _bars(rows), _bars(columns)
    if down is None or across is None:
        return 0.0
    height, width = (1 - sum(bars) / n for bars, n in zip((down, across), grey.shape, strict=True))
    edges = [*_edges(rows / width, down), *_edges(columns / height, across)]
    if not edges or float(np.mean(edges)) < _STRAIGHT:
        return 0.0
    return float(1 - height * width)


def _is_bar(rim: Grey, tone: int) -> bool:
    return bool(np.count_nonzero(np.abs(rim.astype(np.int16) - tone) > _TONE) <= _STRAY * len(rim))


def _corner_tone(grey: Grey) -> int:
    near, far = slice(None, _CORNER_PX), slice(-_CORNER_PX, None)
    levels = sorted(b"".join(grey[rows, columns].tobytes() for rows in (near, far) for columns in (near, far)))
    return levels[len(levels) // 2]


def _bars(profile: Profile) -> tuple[int, int] | None:
    """How many px of each end are uniform, (0, 0) unless both ends are; None where there is no picture between."""
    differs = np.flatnonzero(profile > _STRAY)
    if not differs.size:
        return None
    first, last = int(differs[0]), len(profile) - 1 - int(differs[-1])
    if max(first, last) > _WIDEST * len(profile):
        return None
    return (first, last) if first and last else (0, 0)


def _edges(profile: Profile, bars: tuple[int, int]) -> list[float]:
    """How much of each bar's inner edge is no longer of its tone."""
    ends = (profile, profile[::-1])
    return [float(end[bar : bar + _EDGE_PX].max()) for end, bar in zip(ends, bars, strict=True) if bar]
