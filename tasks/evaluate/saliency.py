"""Where in a picture the evidence for a class lies: gradient times activation at a late stage (HiResCAM).

Draelos and Carin, 2020: each place's activations times the gradients of the class's score by them, summed over
channels; unlike Grad-CAM's, these maps show only places that the score depends on. Captum reads both at any module,
and tasks/backbone/stages.py knows which module that is in a network of any family.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.backbone.features import best_device
from tasks.backbone.network import TransferNet, memory_format, to_input
from tasks.backbone.stages import Stage
from tasks.backbone.threads import fitting_threads
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels

LEAST_SIDE = 6  # of the maps, where a stage has such: coarser ones say little about where
_AT_ONCE = 8

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def saliency(net: TransferNet, ref: BackboneRef, pixels: Pixels, called: Ints) -> Floats:
    """How much each place of prepared `pixels` (n, side, side, 3) speaks for the class in `called` (n,).

    (n, grid, grid), from 0 to 1, the strongest place of each picture being 1; all 0 where nothing speaks for it.
    """
    # Captum imports matplotlib, which says on a machine's first use that it makes a list of fonts; and seconds pass
    os.environ.setdefault("MPLBACKEND", "Agg")
    from captum.attr import LayerGradientXActivation

    device, stage = best_device(), place_of(net)
    net.to(device).to(memory_format=memory_format(device)).eval()
    method = LayerGradientXActivation(net, net.backbone.network.get_submodule(stage.end))
    pieces = []
    with fitting_threads(net, (_AT_ONCE, 3, ref.input_px, ref.input_px)), _nothing_in_place(net):
        for start in range(0, len(pixels), _AT_ONCE):
            batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + _AT_ONCE])).to(device)
            images = to_input(batch, ref.input_px, ref.mean, ref.std)
            target = torch.from_numpy(called[start : start + _AT_ONCE]).to(device)
            given = method.attribute(images, target=target)
            pieces.append(_maps(given.detach(), stage).clamp_min(0).float().cpu())
    maps = torch.cat(pieces) if pieces else torch.zeros(0, 1, 1)
    most = maps.amax(dim=(1, 2), keepdim=True)
    return (maps / most.clamp_min(torch.finfo(torch.float32).tiny)).numpy()


def place_of(net: TransferNet) -> Stage:
    """The stage whose output is explained: the last with maps of LEAST_SIDE, else that of the largest maps.

    Of tokens the last but one: of the last block's a head may read the class token alone.
    """
    stages = net.backbone.stages
    if stages[-1].side is None:
        return stages[-2] if len(stages) > 1 and stages[-2].side is None else stages[-1]
    maps = [stage for stage in stages if stage.side is not None]
    fine = [stage for stage in maps if (stage.side or 0) >= LEAST_SIDE]
    return fine[-1] if fine else max(maps, key=lambda stage: stage.side or 0)


def _maps(given: Tensor, stage: Stage) -> Tensor:
    """The sum over channels as squares: of NCHW or NHWC maps, or of tokens behind none, one or several others."""
    if given.dim() == 4:
        first = given.shape[1] == stage.channels and given.shape[2] == given.shape[3]
        return given.sum(dim=1 if first else 3)
    tokens = given.sum(dim=2)
    side = int(tokens.shape[1] ** 0.5)
    return tokens[:, tokens.shape[1] - side * side :].reshape(-1, side, side)


@contextmanager
def _nothing_in_place(net: nn.Module) -> Iterator[None]:
    """While it lasts no module writes over its input, which may be the very activations that are explained."""
    changed = [module for module in net.modules() if getattr(module, "inplace", False)]
    for module in changed:
        setattr(module, "inplace", False)  # noqa: B010
    try:
        yield
    finally:
        for module in changed:
            setattr(module, "inplace", True)  # noqa: B010
