"""One number that makes stated confidence fit how often the model is right; it changes no answer.

Temperature scaling: Guo et al., 2017 (On calibration of modern neural networks).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_REACH = np.log(20.0)  # temperatures from 1/20 to 20


def fit_temperature(logits: Floats, targets: Ints) -> float:
    """The temperature by which `logits` (n, classes) are divided to give `targets` (n,) the least log-loss.

    Each target is taken for right with the chance (n + 1) / (n + 2), as Platt (1999) does: where no image of few is
    called wrongly, the plain optimum is to be infinitely sure. Raises ValueError where there is no image.
    """
    if not len(targets):
        raise ValueError("a temperature needs at least one image")
    doubt, classes = 1 / (len(targets) + 2), logits.shape[1]
    if classes < 2:
        return 1.0
    wanted = np.full(logits.shape, doubt / (classes - 1))
    wanted[np.arange(len(targets)), targets] = 1 - doubt

    def loss(log_sharpness: float) -> float:
        return float(-(wanted * log_softmax(logits * np.exp(log_sharpness), axis=1)).sum(axis=1).mean())

    return float(np.exp(-minimize_scalar(loss, bounds=(-_REACH, _REACH), method="bounded").x))


def probabilities(logits: NDArray[np.floating], temperature: float) -> Floats:
    """Class probabilities (n, classes) of `logits`; rows add up to 1."""
    found: Floats = softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return found
