"""Logits and losses of a network, in the arithmetic that suits the device; the same in training and validation."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.backbone.features import best_device
from tasks.backbone.split import Rest
from tasks.contracts.errors import BadEnvironment
from tasks.train.data import Batches, split_evenly
from tasks.train.ranks import current

EVALUATION_BATCH = 256
_LEAST_WEIGHTS = 300_000  # of layers without convolutions, for bfloat16 on a CPU


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device that `train.device` means; `auto` takes CUDA where it works.

    Raises BadEnvironment where CUDA is asked for and is not there: training never falls back unannounced.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise BadEnvironment("train.device is cuda, but torch finds no CUDA GPU here; use --set train.device=auto")
    device = best_device() if wanted == "auto" else torch.device(wanted)
    # by its number: the device in use is a matter of each thread
    return torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" else device


def forward(module: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Logits in float32; the arithmetic is bfloat16 where that is faster."""
    with torch.autocast(device.type, torch.bfloat16, enabled=suits_bfloat16(module, device)):
        logits: Tensor = module(inputs.to(device, non_blocking=True))
    return logits.float()


def suits_bfloat16(module: nn.Module, device: torch.device) -> bool:
    """Whether `module` trains faster in bfloat16 than in float32: on a GPU that has it, or an AVX-512 BF16 or AMX CPU.

    On a CPU not where depthwise convolutions and batch norms are its building blocks: MobileNetV3-Small at 48 px
    trains at 635 images/s in float32 and 299 in bfloat16 on one core, EfficientNet-B0 at 54 and 33 (96 px), while a
    ResNeXt gains (14 and 23), and so does a ConvNeXt, which has depthwise convolutions and layer norms (13 and 18).
    Nor where it is a head of few weights, whose numbers take longer to convert than to multiply: on 896 features and
    for 5 classes a step on 32 images takes 0.24 ms in float32 and 0.35 in bfloat16, for 400 classes both take 0.85.
    What follows a trunk goes on as that began: its rows are of that type.
    """
    if isinstance(module, Rest):
        return module.autocast
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    able = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return bool(able) and not _is_small_head(module) and not _is_depthwise_with_batch_norm(module)


def _is_depthwise_with_batch_norm(module: nn.Module) -> bool:
    parts = list(module.modules())
    depthwise = (isinstance(part, nn.Conv2d) and part.groups == part.in_channels > 1 for part in parts)
    return any(depthwise) and any(isinstance(part, nn.BatchNorm2d) for part in parts)


def _is_small_head(module: nn.Module) -> bool:
    weights = sum(parameter.numel() for parameter in module.parameters())
    return weights < _LEAST_WEIGHTS and not any(isinstance(part, nn.Conv2d) for part in module.modules())


@torch.inference_mode()
def validate(module: nn.Module, val: Batches, device: torch.device) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy on all of `val`; the module is left in evaluation mode."""
    loss, correct, _ = _sums(module, val, device).sum(1)
    return float(loss) / len(val.samples), float(correct) / len(val.samples)


@torch.inference_mode()
def worst_group_accuracy(module: nn.Module, val: Batches, device: torch.device) -> float:
    """The accuracy on the cell of class and group of `val` where it is least; the module is left in evaluation mode."""
    _, correct, images = _sums(module, val, device)
    return float((correct / images)[images > 0].min())


def _sums(module: nn.Module, val: Batches, device: torch.device) -> Tensor:
    """The loss, the images named right and the images of each cell, over all processes: (3, cells), float64."""
    module.eval()
    sums = torch.zeros(3, int(val.samples.groups.max()) + 1, dtype=torch.float64)
    parts = [current().part(part) for part in split_evenly(np.arange(len(val.samples)), EVALUATION_BATCH)]
    parts = [part for part in parts if len(part)]
    for part, batch in zip(parts, val.epoch(parts, 0, 0), strict=True):
        logits = forward(module, batch.inputs, device)
        targets = batch.targets.to(device)
        losses = functional.cross_entropy(logits, targets, reduction="none")
        found = torch.stack([losses.double(), (logits.argmax(1) == targets).double(), torch.ones_like(losses).double()])
        sums.index_add_(1, torch.from_numpy(val.samples.groups[part]), found.cpu())
    current().sum([sums])
    return sums
