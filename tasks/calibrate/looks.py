"""How a picture looks, apart from any network: its tones and, octave by octave, its details.

A network knows what tells its classes apart. Whether a picture is noise, a page of text or in colour where all others
are grey may be none of that. The details are those of the Haar wavelet (Haar, 1910; Mallat, 1989).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.prepared import Pixels

LOOKS_CODE = 1  # raised when a look changes
MOST_PX = 32
_FAINT = 0.003  # of the tones: below it a detail counts as none

Floats32 = NDArray[np.float32]


def looks_of(pixels: Pixels) -> Floats32:
    """Numbers that describe prepared `pixels` (n, side, side, 3): (n, width); the width follows from the side."""
    side_px = 1 << min(MOST_PX, pixels.shape[1]).bit_length() - 1
    small = np.stack([cv2.resize(one, (side_px, side_px), interpolation=cv2.INTER_AREA) for one in pixels])
    channels = _opponent(small.astype(np.float32) / np.float32(255))
    found = [channels.mean(axis=(2, 3)), channels.std(axis=(2, 3))]
    while channels.shape[-1] > 1:
        channels, details = _halved(channels)
        strength = np.sqrt((details**2).mean(axis=(-2, -1)))  # (kinds of detail, channels, n)
        found += list(np.log(strength + _FAINT))
        if channels.shape[-1] > 1:  # edges are few and strong, noise is everywhere
            found += list(np.abs(details[:, :1]).mean(axis=(-2, -1)) / (strength[:, :1] + _FAINT))
    return np.concatenate(found).T.astype(np.float32)


def _opponent(rgb: Floats32) -> Floats32:
    """Brightness, red less green, yellow less blue: (n, side, side, 3) -> (3, n, side, side)."""
    red, green, blue = (rgb[..., channel] for channel in range(3))
    return np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue]).astype(np.float32)


def _halved(maps: Floats32) -> tuple[Floats32, Floats32]:
    """The means of two by two, and what they leave out: across, down and diagonal, stacked in front."""
    a, b = maps[..., ::2, ::2], maps[..., ::2, 1::2]
    c, d = maps[..., 1::2, ::2], maps[..., 1::2, 1::2]
    quarter = np.float32(0.25)
    details = np.stack([a - b + c - d, a + b - c - d, a - b - c + d])
    return (a + b + c + d) * quarter, details * quarter
