"""Learning from images without labels: two views of an image are to be nearer to each other than to other images.

SimCLR, Chen et al., 2020, with the loss of one direction only, as in MoCo, He et al., 2020.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tasks.augment.records import Transform
from tasks.backbone.network import Backbone
from tasks.train.clock import Clock
from tasks.train.data import Batch, ImageBatches, Samples

TEMPERATURE = 0.2
PROJECTED = 128

# Views may differ by more than label-safe augmentation allows: there is no label to keep.
VIEWS: tuple[Transform, ...] = (
    {"transform": "RandomResizedCrop", "scale": (0.25, 1.0), "ratio": (0.75, 1.33), "p": 1.0},
    {"transform": "HorizontalFlip", "p": 0.5},
    {"transform": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8},
    {"transform": "ToGray", "p": 0.2},
    {"transform": "GaussianBlur", "sigma_limit": (0.3, 1.5), "p": 0.3},
)


@dataclass(frozen=True)
class PairBatches:
    """Two views of each image, (batch, 2, 3, side, side); the target of every one is 0, see `Contrastive`."""

    views: ImageBatches

    @property
    def samples(self) -> Samples:
        """What the batches are made of."""
        return self.views.samples

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (2, *self.views.shape)

    @property
    def clock(self) -> Clock:
        """Where the time of making them goes."""
        return self.views.clock

    def epoch(self, parts: Sequence[NDArray[np.int64]], seed: int, epoch: int) -> Iterator[Batch]:
        """A batch for each of `parts`."""
        first, second = (self.views.epoch(parts, 2 * seed + view, epoch) for view in range(2))
        for one, other in zip(first, second, strict=True):
            yield Batch(torch.stack([one.inputs, other.inputs], 1), torch.zeros_like(one.targets))


class Contrastive(nn.Module):
    """Backbone and projection: (batch, 2, 3, side, side) -> logits (batch, 1 + 2 batch).

    Column 0 is how alike the two views of an image are, the others how alike its first view and every view of the
    other images are, -inf where that would be its own; so class 0 is right for every image, in batches of any size.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        width = backbone.features
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTED))

    def forward(self, pairs: Tensor) -> Tensor:
        """Cosines of the projections, sharpened by the temperature."""
        count = len(pairs)
        both = self.projection(self.backbone(pairs.transpose(0, 1).flatten(0, 1)))
        both = functional.normalize(both.double(), dim=1)  # in float32 autocast would round the cosines to bfloat16
        likeness = (both[:count] @ both.T / TEMPERATURE).float()
        rows = torch.arange(count, device=pairs.device)
        own = likeness[rows, rows + count]
        itself = (torch.arange(2 * count, device=pairs.device) % count)[None] == rows[:, None]
        return torch.cat([own[:, None], likeness.masked_fill(itself, -torch.inf)], 1)
