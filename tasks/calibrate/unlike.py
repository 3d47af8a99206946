"""Whether an image is unlike all training images: its distance to the nearest, in what a network sees and looks.

The k-nearest-neighbour detector of Sun et al., 2022 (Out-of-distribution detection with deep nearest neighbors), with
k = 1, on standardised features of the trained network beside how pictures look (looks.py). Both count alike, however
many numbers they have. Distances are taken in the first principal components, with the length of what these leave out
as one more coordinate: nearly the same distances from a fraction of the numbers.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

COMPONENTS = 64
MOST_REFERENCES = 2000
_LEAST_SPREAD = 1e-3  # of the mean spread of a block: what never varied in training is not worth infinitely much

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Familiar:
    """Training images as points, and how another image becomes one: all that is needed to measure distances.

    `middle`, `scale` (width,), `components` (c, width), `points` (references, c + 1).
    """

    middle: Floats32
    scale: Floats32
    components: Floats32
    points: Floats32

    def distances(self, features: Floats32, looks: Floats32) -> Floats32:
        """To the nearest reference: (n, features) and (n, looks) -> (n,). 1 is the root mean square spread of both."""
        found = _placed(features, looks, self)
        squared = (found**2).sum(1)[:, None] + (self.points**2).sum(1) - 2 * found @ self.points.T
        nearest: Floats32 = np.sqrt(np.maximum(squared.min(axis=1), 0))
        return nearest


def familiar(features: Floats32, looks: Floats32) -> Familiar:
    """What training images with these features (n, width) and looks (n, width) make familiar.

    Raises ValueError where there is no image.
    """
    if not len(features):
        raise ValueError("nothing is familiar without training images")
    both = np.hstack([features, looks]).astype(np.float64)
    middle = both.mean(axis=0)
    scale = np.concatenate([_scale(block) for block in (features, looks)])
    centred = (both - middle) * scale
    with threadpool_limits(1, "blas"):  # equal on any number of cores
        _, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    components = _as_kept(axes[:, ::-1][:, :COMPONENTS].T)
    start = Familiar(middle.astype(np.float32), scale.astype(np.float32), components, np.empty((0, 0), np.float32))
    return replace(start, points=_as_kept(_placed(features, looks, start)))


def _as_kept(values: NDArray[np.floating]) -> Floats32:
    """Rounded now as it will be in the file, so that a limit fits what is read back."""
    kept: Floats32 = np.ascontiguousarray(values.astype(np.float16).astype(np.float32))
    return kept


def _scale(block: Floats32) -> NDArray[np.float64]:
    """What makes every column of a block vary alike, and the whole block by 1/2."""
    spread = block.std(axis=0, dtype=np.float64)
    floor = _LEAST_SPREAD * float(spread.mean()) or 1.0
    scale: NDArray[np.float64] = 1 / (np.maximum(spread, floor) * np.sqrt(2 * block.shape[1]))
    return scale


def _placed(features: Floats32, looks: Floats32, by: Familiar) -> Floats32:
    """Images as points (n, c + 1)."""
    centred = (np.hstack([features, looks]) - by.middle) * by.scale
    kept = centred @ by.components.T
    left_out = np.sqrt(np.maximum((centred**2).sum(1) - (kept**2).sum(1), 0))
    found: Floats32 = np.column_stack([kept, left_out]).astype(np.float32)
    return found
