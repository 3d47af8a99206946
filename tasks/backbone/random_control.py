"""The network that a backbone is held against: of the same layout, with random weights.

Its batch norms are settled on drawn pictures, not on the user's, so that it is the same network whatever the data: what
it makes of an image is computed once, and stays comparable from run to run. On the four image sets of
benchmarks/panel.py a probe on it does as well as on one that was settled on the images themselves.
"""

from dataclasses import replace

import numpy as np

from tasks.backbone.network import Backbone
from tasks.backbone.scores import settle_batch_norm
from tasks.backbone.weights import build_network
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels

_PICTURES = 64
_COMMON = 0.7  # of a picture's light and dark is in all three colours
_MEANS, _DEVIATIONS = (60.0, 200.0), (15.0, 60.0)  # levels, as photographs have them


def random_control(ref: BackboneRef, seed: int) -> tuple[Backbone, BackboneRef]:
    """The random counterpart of the backbone `ref`, ready to give features, and its name."""
    blank = replace(ref, name=f"{ref.name} with random weights", source="random")
    network = build_network(blank, seed)
    settle_batch_norm(network, blank, clouds(_PICTURES, ref.input_px))
    return network, blank


def clouds(count: int, side_px: int) -> Pixels:
    """Pictures (count, side_px, side_px, 3), always the same: noise whose amplitude falls as 1/frequency.

    So it does in natural images (Field, 1987, J. Opt. Soc. Am. A 4, 2379).
    """
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(side_px)
    distance = np.hypot(frequency[:, None], frequency)
    distance[0, 0] = 1 / side_px
    pictures = np.empty((count, side_px, side_px, 3), np.uint8)
    for picture in pictures:
        planes = np.fft.ifft2(np.fft.fft2(rng.normal(size=(4, side_px, side_px))) / distance).real
        planes /= planes.std(axis=(1, 2), keepdims=True)
        mixed = _COMMON * planes[0] + (1 - _COMMON) * planes[1:]
        levels = rng.uniform(*_MEANS) + rng.uniform(*_DEVIATIONS) * mixed / mixed.std()
        picture[:] = levels.clip(0, 255).transpose(1, 2, 0)
    return pictures
