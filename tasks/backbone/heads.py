"""The heads that a transferred network can have, each on features of one scale."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

HeadKind = Literal["linear", "cosine", "mlp"]
_FIRST_SCALE = 10.0


class Cosine(nn.Module):
    """Class scores as cosines times a learned scale: features (batch, n) -> (batch, classes).

    A class with many images cannot outweigh one with few by the length of its weights. The weights start in random
    directions, the scale at 10. Gidaris and Komodakis, 2018 (Dynamic few-shot visual learning without forgetting).
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features) / math.sqrt(features))
        self.scale = nn.Parameter(torch.tensor(_FIRST_SCALE))

    def forward(self, features: Tensor) -> Tensor:
        """Give the scores before the softmax, from -scale to scale."""
        directions = functional.normalize(self.weight, dim=1)
        return self.scale * functional.linear(functional.normalize(features, dim=1), directions)


def make_head(kind: HeadKind, features: int, classes: int, dropout: float) -> nn.Sequential:
    """A head from features (batch, `features`) to logits (batch, `classes`); all begin with a normalisation.

    `linear`: one layer. `cosine`: see Cosine. `mlp`: one hidden layer, as wide as the geometric mean of `features`
    and `classes`, at least 32 (the pyramid rule of Masters, 1993, Practical neural network recipes in C++).
    """
    scaled = nn.BatchNorm1d(features, affine=False)  # stages differ in scale by orders of magnitude
    match kind:
        case "linear":
            return nn.Sequential(scaled, nn.Dropout(dropout), nn.Linear(features, classes))
        case "cosine":
            return nn.Sequential(scaled, nn.Dropout(dropout), Cosine(features, classes))
        case "mlp":
            width = max(32, round(math.sqrt(features * classes)))
            hidden = nn.Linear(features, width)
            return nn.Sequential(scaled, hidden, nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes))
