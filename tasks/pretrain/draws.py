"""Random numbers for batched drawing: every generator belongs to a key, so every image can be drawn again."""

import numpy as np
import torch
from torch import Tensor


def seeded(device: torch.device, *key: int) -> torch.Generator:
    """Make the generator that belongs to a key of non-negative whole numbers, such as (seed, step)."""
    state = np.random.SeedSequence(key).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed((int(state[0]) << 31) ^ int(state[1]))


def uniform(shape: tuple[int, ...], generator: torch.Generator, low: float = 0, high: float = 1) -> Tensor:
    """Uniform numbers in [low, high) on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal numbers on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device)


def rotation(angle: Tensor) -> Tensor:
    """Rotation matrices (..., 2, 2) by angles (...) in rad."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
