"""Endless textures from formulas: noise whose spectrum belongs to a class, woven into stripes, spots, ridges or grain.

A class is a row of numbers: two bands of the spectrum, each with a direction, how the noise is bent into levels, and
for half of the classes their two colours: what is never told by colour would be learned without it.
Noise of a chosen spectrum as training images: Baradad et al., 2021 (Learning to see by looking at noise).
"""

import math

import torch
from torch import Tensor

from tasks.pretrain.draws import normal, uniform

_BAND = 5  # numbers of one band: log frequency, log width, angle, how directed it is, weight
_LEVELS = slice(2 * _BAND, 2 * _BAND + 2)
_COLOURS = slice(2 * _BAND + 2, 2 * _BAND + 8)
_SCALE_JITTER, _TURN_JITTER_RAD, _COLOUR_JITTER = 0.2, 0.3, 0.08


def sample_textures(count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` classes: (count, 19).

    The two bands; how sharp the levels are and whether they are ridges; two colours, and whether these are the class's.
    """
    bands = []
    for weight in (uniform((count, 1), generator, 0.6, 1), uniform((count, 1), generator, 0, 0.6)):
        log_frequency = uniform((count, 1), generator, math.log(0.03), math.log(0.35))
        log_width = uniform((count, 1), generator, 0.12, 0.7)
        angle = uniform((count, 1), generator, 0, math.pi)
        directed = 12 * uniform((count, 1), generator) ** 2
        bands += [log_frequency, log_width, angle, directed, weight]
    sharp = uniform((count, 1), generator)
    ridged = (uniform((count, 1), generator) < 0.3).float()
    colours = uniform((count, 6), generator, 0.05, 0.95)
    is_coloured = (uniform((count, 1), generator) < 0.5).float()
    return torch.cat([*bands, sharp, ridged, colours, is_coloured], 1)


def weave(rows: Tensor, side_px: int, generator: torch.Generator) -> Tensor:
    """Draw one texture of each row: levels (batch, side_px, side_px) in [0, 1], somewhat scaled and turned."""
    batch, device = len(rows), rows.device
    column = torch.fft.rfftfreq(side_px, device=device)
    row = torch.fft.fftfreq(side_px, device=device)[:, None]
    log_distance = (row**2 + column**2).sqrt().clamp(min=0.5 / side_px).log()
    direction = torch.atan2(row.expand_as(log_distance), column.expand_as(log_distance))
    scale = uniform((batch, 1, 1), generator, -_SCALE_JITTER, _SCALE_JITTER)
    turn = uniform((batch, 1, 1), generator, -_TURN_JITTER_RAD, _TURN_JITTER_RAD)
    gain = torch.zeros(batch, *log_distance.shape, device=device)
    for band in (rows[:, :_BAND], rows[:, _BAND : 2 * _BAND]):
        log_frequency, log_width, angle, directed, weight = band[..., None, None].unbind(1)
        away = (log_distance - log_frequency - scale) / log_width
        gain += weight * torch.exp(-away.square() / 2 + directed * (torch.cos(2 * (direction - angle - turn)) - 1))
    gain[:, 0, 0] = 0
    spectrum = torch.view_as_complex(normal((*gain.shape, 2), generator)) * gain
    field = torch.fft.irfft2(spectrum, s=(side_px, side_px))
    field = field / field.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-9)
    sharp, ridged = rows[:, _LEVELS, None, None].unbind(1)
    field = torch.lerp(field, 1 - 1.25 * field.abs(), ridged)
    return 0.5 + 0.5 * torch.tanh(field * (0.7 + 4 * sharp**2))


def tinted(rows: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
    """The two colours (batch, 2, 3) of one texture of each row: about those of its class, else `free` ones."""
    own = rows[:, _COLOURS].view(-1, 2, 3)
    own = (own + _COLOUR_JITTER * normal(tuple(own.shape), generator)).clamp(0, 1)
    return torch.where(rows[:, -1, None, None] > 0, own, free)
