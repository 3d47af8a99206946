"""Perceptual hashes of a thumbnail, of itself and of how it would look turned, mirrored or slightly cropped.

The low frequencies of the discrete cosine transform say what a picture looks like from afar. Their signs under fixed
random projections are the hash (Charikar, 2002): the share of bits in which two hashes differ is the angle between the
two pictures' frequencies, by 180 degrees. All views come from the thumbnail by linear maps; no picture is resized.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

SIDE_PX = 64
BITS = 256
_FREQUENCIES = 10
_PROJECTIONS_SEED = 20261124
_WHOLE = (0.0, 1.0)
_WINDOWS = (0.9, 0.82)  # shares of the sides that a crop keeps: at nine places, and in the middle

MIRRORED = frozenset({1, 2, 4, 7})  # turns that no rotation undoes


@dataclass(frozen=True)
class View:
    """How a picture is looked at: `turn` 0 to 7 (bits: 1 left to right, 2 upside down, after 4 rows as columns).

    `rows` and `columns` are the window, from and to, as shares of the turned picture.
    """

    turn: int = 0
    rows: tuple[float, float] = _WHOLE
    columns: tuple[float, float] = _WHOLE


def views() -> tuple[View, ...]:
    """The eight ways to turn and mirror a square, and ten windows."""
    share, least = _WINDOWS
    starts = (0.0, (1 - share) / 2, 1 - share)
    middle = ((1 - least) / 2, (1 + least) / 2)
    windows = [View(0, (y, y + share), (x, x + share)) for y in starts for x in starts]
    return (*(View(turn) for turn in range(8)), *windows, View(0, middle, middle))


def hashes(grey: Floats) -> Codes:
    """The hashes of `grey` (n, 64, 64) in every view: (views, n, BITS / 8); a flat picture's say nothing."""
    whole = _coefficients(grey, View())
    return np.stack([_signs(_seen(grey, whole, view)) for view in views()])


def turned(picture: Floats, turn: int) -> Floats:
    """`picture` (64, 64) as a view with this `turn` sees it."""
    out = picture.T if turn & 4 else picture
    out = out[:, ::-1] if turn & 1 else out
    return np.ascontiguousarray(out[::-1] if turn & 2 else out)


def _seen(grey: Floats, whole: Floats, view: View) -> Floats:
    """Turning needs no picture: mirroring changes the sign of the odd frequencies."""
    if not view.turn:
        return whole if view == View() else _coefficients(grey, view)
    out = whole.transpose(0, 2, 1) if view.turn & 4 else whole
    odd = ((-1.0) ** np.arange(_FREQUENCIES)).astype(np.float32)
    out = out * odd if view.turn & 1 else out
    return out * odd[:, None] if view.turn & 2 else out


def _coefficients(grey: Floats, view: View) -> Floats:
    rows, columns = _cosines(view.rows), _cosines(view.columns)
    return np.asarray(rows @ grey @ columns.T, np.float32)


@cache
def _cosines(window: tuple[float, float]) -> Floats:
    """(frequencies, 64): the cosine transform of the window, with the pixels between taken linearly."""
    start, end = window
    steps = (np.arange(SIDE_PX) + 0.5) / SIDE_PX
    waves = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * steps)
    places = ((start + (end - start) * steps) * SIDE_PX - 0.5).clip(0, SIDE_PX - 1)
    left = np.minimum(places.astype(int), SIDE_PX - 2)
    between = np.zeros((SIDE_PX, SIDE_PX))
    between[np.arange(SIDE_PX), left] = 1 - (places - left)
    between[np.arange(SIDE_PX), left + 1] += places - left
    return (waves @ between).astype(np.float32)


def _signs(coefficients: Floats) -> Codes:
    """Weighted by their frequency, for the higher ones are weaker in all pictures; without the mean."""
    down, across = np.indices((_FREQUENCIES, _FREQUENCIES))
    low = (down + across > 0) & (down + across <= _FREQUENCIES)
    weighted = (coefficients * np.hypot(down, across))[:, low].astype(np.float32)
    return np.packbits(weighted @ _projections(int(low.sum())) > 0, axis=1)


@cache
def _projections(frequencies: int) -> Floats:
    drawn = np.random.default_rng(_PROJECTIONS_SEED).standard_normal((BITS, frequencies))
    return drawn.T.astype(np.float32)
