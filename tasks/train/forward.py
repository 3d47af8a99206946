"""Logits and losses of a network, in the arithmetic that suits the device; the same in training and validation."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.backbone.features import best_device
from tasks.contracts.errors import BadEnvironment
from tasks.train.data import Batches, split_evenly
from tasks.train.ranks import current

EVALUATION_BATCH = 256


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
    """Logits in float32; the arithmetic is bfloat16 where the device has instructions for it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        logits: Tensor = module(inputs.to(device, non_blocking=True))
    return logits.float()


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: a GPU that has it, or a CPU with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@torch.inference_mode()
def validate(module: nn.Module, val: Batches, device: torch.device) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy on all of `val`; the module is left in evaluation mode."""
    module.eval()
    loss = correct = 0.0
    parts = [current().part(part) for part in split_evenly(np.arange(len(val.samples)), EVALUATION_BATCH)]
    for batch in val.epoch([part for part in parts if len(part)], 0, 0):
        logits = forward(module, batch.inputs, device)
        targets = batch.targets.to(device)
        loss += functional.cross_entropy(logits, targets, reduction="sum").item()
        correct += (logits.argmax(1) == targets).sum().item()
    sums = torch.tensor([loss, correct], dtype=torch.float64)
    current().sum([sums])
    return float(sums[0]) / len(val.samples), float(sums[1]) / len(val.samples)
