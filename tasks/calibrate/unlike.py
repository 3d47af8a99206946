"""Whether an image is unlike all training images: its distance to the nearest class, in what a network sees and looks.

The Mahalanobis detector of Lee et al., 2018 (A simple unified framework for detecting out-of-distribution samples), on
standardised features of the trained network beside how pictures look (looks.py). Both count alike, however many numbers
they have. The covariance within classes is taken in the first principal components and shrunk (Ledoit and Wolf, 2004);
what the components leave out counts by its length.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.calibrate.temperature import Ints

COMPONENTS = 128
MOST_REFERENCES = 2000
_LEAST_SPREAD = 1e-3  # of the mean spread of a block: what never varied in training is not worth infinitely much
_LEAST_SHARE = 1e-3  # of the mean variance: the same for a direction

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Familiar:
    """Training images as the means of their classes and one spread around them: all that is needed for distances.

    `middle`, `scale` (width,), `components` (c, width), `whitening` (c, c), `centres` (classes, c), and `left_out`
    (1,), the spread of a number that the components leave out.
    """

    middle: Floats32
    scale: Floats32
    components: Floats32
    whitening: Floats32
    centres: Floats32
    left_out: Floats32

    def distances(self, features: Floats32, looks: Floats32) -> Floats32:
        """To the nearest class in standard deviations of a class: (n, features) and (n, looks) -> (n,)."""
        kept, rest = _placed(features, looks, (self.middle, self.scale, self.components))
        white = kept @ self.whitening
        squared = (white**2).sum(1)[:, None] + (self.centres**2).sum(1) - 2 * white @ self.centres.T
        nearest: Floats32 = np.sqrt(np.maximum(squared.min(axis=1), 0) + (rest / self.left_out) ** 2)
        return nearest


def familiar(features: Floats32, looks: Floats32, targets: Ints) -> Familiar:
    """What training images with these features (n, width), looks (n, width) and classes (n,) make familiar.

    Raises ValueError where there is no image.
    """
    from sklearn.covariance import LedoitWolf  # predicting has no need of it

    if not len(features):
        raise ValueError("nothing is familiar without training images")
    both = np.hstack([features, looks]).astype(np.float64)
    middle = both.mean(axis=0)
    scale = np.concatenate([_scale(block) for block in (features, looks)])
    centred = (both - middle) * scale
    _, group = np.unique(targets, return_inverse=True)
    with threadpool_limits(1, "blas"):  # equal on any number of cores
        _, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        components = _as_kept(axes[:, ::-1][:, :COMPONENTS].T)
        start = (middle.astype(np.float32), scale.astype(np.float32), components)
        kept, rest = _placed(features, looks, start)
        centres = np.stack([kept[group == one].mean(axis=0, dtype=np.float64) for one in range(group.max() + 1)])
        within = LedoitWolf(assume_centered=True).fit(kept - centres[group])
        mean = max(float(np.trace(within.covariance_)) / len(components), float(np.finfo(np.float32).tiny))
        values, turned = np.linalg.eigh(within.covariance_)
        whitening = turned / np.sqrt(np.maximum(values, _LEAST_SHARE * mean))
    numbers = max(1, both.shape[1] - len(components))
    shrinkage, outside = float(within.shrinkage_), float((rest**2).mean(dtype=np.float64)) / numbers
    variance = (1 - shrinkage) * outside + shrinkage * mean
    left_out = np.sqrt([max(variance, _LEAST_SHARE * mean)])
    return Familiar(*start, *(one.astype(np.float32) for one in (whitening, centres @ whitening, left_out)))


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


def _placed(features: Floats32, looks: Floats32, by: tuple[Floats32, Floats32, Floats32]) -> tuple[Floats32, Floats32]:
    """Images in the components, (n, c), and the length of what these leave out, (n,)."""
    middle, scale, components = by
    centred = (np.hstack([features, looks]) - middle) * scale
    kept: Floats32 = (centred @ components.T).astype(np.float32)
    rest: Floats32 = np.sqrt(np.maximum((centred**2).sum(1) - (kept**2).sum(1), 0)).astype(np.float32)
    return kept, rest
