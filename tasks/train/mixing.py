"""Mixup and cutmix: training inputs made of two images, whose loss is shared between both classes."""

from dataclasses import replace

import torch
from torch import Tensor

from tasks.train.data import Batch


def mixed(batch: Batch, mixup: float, cutmix: float) -> Batch:
    """The batch with every input mixed with another one of it; unchanged where both parameters are 0.

    Zhang et al., 2018 (mixup) and Yun et al., 2019 (CutMix); where both are asked for, each batch draws one of them.
    Draws from torch's global generator on the CPU, so that every device mixes alike.
    """
    if not mixup and not cutmix:
        return batch
    cut = bool(cutmix) and (not mixup or bool(torch.rand(()) < 0.5))
    alpha = torch.tensor(cutmix if cut else mixup)
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(batch.targets))
    inputs, share = (_pasted if cut else _blended)(batch.inputs, order, share)
    shares = torch.full((len(order),), share)
    return replace(batch, inputs=inputs, partners=batch.targets[order], shares=shares)


def _blended(inputs: Tensor, order: Tensor, share: float) -> tuple[Tensor, float]:
    return torch.lerp(inputs[order], inputs, share), share


def _pasted(inputs: Tensor, order: Tensor, share: float) -> tuple[Tensor, float]:
    """A box of the partner's pixels in each image; the share that is left of the own ones."""
    height, width = inputs.shape[-2:]
    sides = [round(side * (1 - share) ** 0.5) for side in (height, width)]
    centre = [int(torch.randint(side, ())) for side in (height, width)]
    (top, bottom), (left, right) = (
        (max(0, middle - half // 2), min(whole, middle + half - half // 2))
        for middle, half, whole in zip(centre, sides, (height, width), strict=True)
    )
    pasted = inputs.clone()
    pasted[..., top:bottom, left:right] = inputs[order][..., top:bottom, left:right]
    return pasted, 1 - (bottom - top) * (right - left) / (height * width)
