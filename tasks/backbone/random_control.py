"""The network that a backbone is held against: of the same layout, with random weights.

Its batch norms are settled on drawn pictures, not on the user's, so that it is the same network whatever the data: what
it makes of an image is computed once, and stays comparable from run to run. On the four image sets of
benchmarks/panel.py a probe on it does as well as on one that was settled on the images themselves.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.backbone.cache import FOLDER, remembered
from tasks.backbone.network import Backbone
from tasks.backbone.rows import device_kind, library_versions, state_sha256
from tasks.backbone.scores import settle_batch_norm
from tasks.backbone.weights import build_network
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels

CODE = 1  # raised when clouds, or how norms are settled on them, change
_PICTURES = 64
_COMMON = 0.7  # of a picture's light and dark is in all three colours
_MEANS, _DEVIATIONS = (60.0, 200.0), (15.0, 60.0)  # levels, as photographs have them


def random_control(ref: BackboneRef, seed: int, cache: Path) -> tuple[Backbone, BackboneRef]:
    """The random counterpart of the backbone `ref`, ready to give features, and its name.

    Its batch-norm statistics are kept in a workspace's `cache`: settling costs as much as the features of 64 images.
    """
    blank = replace(ref, name=f"{ref.name} with random weights", source="random")
    network = build_network(blank, seed)

    def settled(_: NDArray[np.int64]) -> NDArray[np.float32]:
        settle_batch_norm(network, blank, clouds(_PICTURES, ref.input_px))
        return torch.cat([buffer.float().flatten() for buffer in _statistics(network)]).numpy()[None]

    if _statistics(network):
        how = [CODE, ref.network, ref.input_px, ref.mean, ref.std, device_kind(), *library_versions()]
        _put(network, remembered(cache / FOLDER, f"control {json.dumps(how)}", [state_sha256(network)], settled)[0])
    return network, blank


def _statistics(network: Backbone) -> list[Tensor]:
    """What batch norms know of the images that they saw, and of how many batches."""
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return [buffer for norm in norms for buffer in norm.buffers()]


def _put(network: Backbone, values: NDArray[np.float32]) -> None:
    buffers = _statistics(network)
    ends = np.cumsum([buffer.numel() for buffer in buffers])
    for buffer, piece in zip(buffers, np.split(values, ends[:-1]), strict=True):
        buffer.copy_(torch.from_numpy(piece).reshape(buffer.shape))


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
