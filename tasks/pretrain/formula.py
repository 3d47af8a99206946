"""Endless labelled images from formulas: iterated function systems and sinusoid contours.

A class is a row of numbers drawn from (seed, SAMPLER_VERSION); no picture is ever stored.
IFS: Kataoka et al., 2020 (FractalDB), sampled as in Anderson & Farrell, 2022. Contours:
Kataoka et al., 2022 (RCDB) and Takashima et al., 2023 (VisualAtom). Written from the papers.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SAMPLER_VERSION = 1
MAPS = 4
BURN_IN = 12
POINTS_PER_PIXEL = 2
COLOUR_GAP = 0.35
JPEG_BLOCK_PX = 8


@dataclass(frozen=True)
class Classes:
    """Class parameters: `maps` (ifs, MAPS, 6), `chances` (ifs, MAPS) summing to 1, `orbits` (contours, 8).

    A map row is a, b, c, d, e, f of x' = ax + by + e, y' = cx + dy + f. An orbit row is two
    frequencies (waves per turn), two amplitudes, two phases (rad), nested rings, band thickness.
    Labels count the IFS first, then the contours.
    """

    maps: Tensor
    chances: Tensor
    orbits: Tensor

    def __len__(self) -> int:
        """Count the classes of both families."""
        return len(self.maps) + len(self.orbits)


def seeded(device: torch.device, *key: int) -> torch.Generator:
    """Make the generator that belongs to a key of non-negative whole numbers, such as (seed, step)."""
    state = np.random.SeedSequence(key).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed((int(state[0]) << 31) ^ int(state[1]))


def sample_classes(seed: int, ifs: int, contours: int, device: torch.device) -> Classes:
    """Draw the class parameters of `ifs` screened fractals and `contours` contours from a seed.

    Drawn on the CPU and then moved, so that every device knows the same classes.
    """
    generator = seeded(torch.device("cpu"), seed, SAMPLER_VERSION)
    kept: list[tuple[Tensor, Tensor]] = []
    while sum(len(maps) for maps, _ in kept) < ifs:
        maps, chances = _sample_maps(max(ifs, 16), generator)
        passed = _well_spread(walk(maps, chances, 1024, generator))
        kept.append((maps[passed], chances[passed]))
    maps = torch.cat([torch.empty(0, MAPS, 6), *(pair[0] for pair in kept)])[:ifs]
    chances = torch.cat([torch.empty(0, MAPS), *(pair[1] for pair in kept)])[:ifs]
    orbits = _sample_orbits(contours, generator)
    return Classes(maps.to(device), chances.to(device), orbits.to(device))


def walk(maps: Tensor, chances: Tensor, points: int, generator: torch.Generator) -> Tensor:
    """Play the chaos game: points (systems, 2, points) on the attractors of maps (systems, MAPS, 6).

    Barnsley, 1988. An expanding system gives points that are not finite.
    """
    systems, steps = len(maps), 16
    walkers = -(-points // steps)
    device = maps.device
    first_map = MAPS * torch.arange(systems, device=device)[:, None]
    bounds, table = chances.cumsum(1), maps.reshape(-1, 6)
    xy = torch.zeros(systems, walkers, 2, device=device)
    trail = []
    for step in range(BURN_IN + steps):
        dice = torch.rand(systems, walkers, generator=generator, device=device)
        pick = torch.searchsorted(bounds, dice).clamp_(max=MAPS - 1) + first_map
        now = table[pick]
        xy = (now[..., :4].reshape(systems, walkers, 2, 2) * xy[..., None, :]).sum(-1) + now[..., 4:]
        if step >= BURN_IN:
            trail.append(xy)
    return torch.cat(trail, 1)[:, :points].transpose(1, 2).contiguous()


def draw_clouds(classes: Classes, side_px: int, variants: int, generator: torch.Generator) -> Tensor:
    """Draw `variants` perturbed point clouds of every class: (classes, variants, 2, points).

    Coordinates are centred and scaled so that nearly all points lie in [-1, 1]; there are enough
    points to fill an object of `side_px`.
    """
    points = POINTS_PER_PIXEL * side_px**2
    maps = _perturb_maps(classes.maps.repeat_interleave(variants, 0), generator)
    fractals = walk(maps, classes.chances.repeat_interleave(variants, 0), points, generator)
    contours = _trace(classes.orbits.repeat_interleave(variants, 0), points, generator)
    clouds = torch.cat([_centre(fractals), contours])
    return clouds.reshape(len(classes), variants, 2, points)


def render(
    clouds: Tensor,
    labels: Tensor,
    side_px: int,
    contrast: float,
    generator: torch.Generator,
) -> Tensor:
    """Paint one image per label: float (batch, 3, side_px, side_px) in [0, 1].

    Takes clouds (classes, variants, 2, points) and labels int64 (batch,). `contrast` in [0, 1]
    is the difficulty: it scales the background's 1/f noise, and a share of 1 - `contrast` of the
    images is painted light on dark, because a fresh network learns nothing from the full mix.
    """
    pick = _uniform((len(labels),), generator).mul(clouds.shape[1]).long()
    points = clouds[labels, pick, :, : POINTS_PER_PIXEL * side_px**2]
    density = _histogram(_place(points, side_px, generator), side_px)
    ground, thin, dense = _colours(len(labels), contrast, generator)
    background = _background(ground, side_px, contrast, generator)
    image = _paint(density, background, thin, dense)
    return _degrade(_recolour(image, contrast, generator), generator).clamp_(0, 1)


def _uniform(shape: tuple[int, ...], generator: torch.Generator, low: float = 0, high: float = 1) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _rotation(angle: Tensor) -> Tensor:
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)


def _sample_maps(wanted: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    # Anderson & Farrell bound the sum of sigma1 + 2 sigma2; rejection gives the same law more plainly.
    tries = 12 * wanted
    count = torch.randint(2, MAPS + 1, (tries, 1), generator=generator)
    used = torch.arange(MAPS) < count
    sigma = _uniform((tries, MAPS, 2), generator).sort(-1, descending=True).values
    weight = ((sigma[..., 0] + 2 * sigma[..., 1]) * used).sum(1, keepdim=True)
    fits = ((weight >= (5 + count) / 2) & (weight <= (6 + count) / 2)).flatten()
    turn, turn_back = _uniform((2, tries, MAPS), generator, -math.pi, math.pi)
    mirror = torch.randint(0, 2, (tries, MAPS, 2), generator=generator) * 2.0 - 1
    linear = _rotation(turn) @ torch.diag_embed(sigma) @ _rotation(turn_back) @ torch.diag_embed(mirror)
    maps = torch.cat([linear.flatten(2), _uniform((tries, MAPS, 2), generator, -1, 1)], 2)
    area = (sigma.prod(-1) + 0.02) * used
    return maps[fits], (area / area.sum(1, keepdim=True))[fits]


def _well_spread(clouds: Tensor) -> Tensor:
    span = clouds.amax(2) - clouds.amin(2)
    finite = span.isfinite().all(1) & (span.amax(1) < 100)
    elongation = span.amin(1) / span.amax(1)
    cells = ((clouds - clouds.amin(2, keepdim=True)) / span[..., None] * 31.99).nan_to_num(0).long()
    seen = torch.zeros(len(clouds), 32 * 32).scatter_(1, (cells[:, 0] * 32 + cells[:, 1]).clamp(0, 1023), 1.0)
    fill = seen.mean(1)
    return finite & (elongation > 0.25) & (fill > 0.08) & (fill < 0.85)


def _sample_orbits(contours: int, generator: torch.Generator) -> Tensor:
    waves = torch.randint(1, 13, (contours, 2), generator=generator).float()
    heights = _uniform((contours, 2), generator, 0.05, 0.45)
    phases = _uniform((contours, 2), generator, 0, 2 * math.pi)
    rings = torch.randint(1, 6, (contours, 1), generator=generator).float()
    # Cubed, most bands are thin lines and a few are filled shapes.
    band = _uniform((contours, 1), generator) ** 3 * 0.9 + 0.02
    return torch.cat([waves, heights, phases, rings, band], 1)


def _perturb_maps(maps: Tensor, generator: torch.Generator) -> Tensor:
    # Turning and shrinking never make a contraction expand; scaling entries freely could.
    turn = _rotation(0.08 * _normal(maps.shape[:2], generator))
    shrink = _uniform((*maps.shape[:2], 1), generator, 0.93, 1)
    linear = (turn @ maps[..., :4].reshape(-1, MAPS, 2, 2)).flatten(2) * shrink
    shift = maps[..., 4:] + 0.05 * _normal((*maps.shape[:2], 2), generator)
    return torch.cat([linear, shift], 2)


def _trace(orbits: Tensor, points: int, generator: torch.Generator) -> Tensor:
    waves, heights, phases = (orbits[:, i : i + 2, None] for i in (0, 2, 4))
    rings, band = orbits[:, 6:7], orbits[:, 7:8]
    systems = len(orbits)
    heights = heights * _uniform((systems, 2, 1), generator, 0.8, 1.2)
    phases = phases + 0.15 * _normal((systems, 2, 1), generator)
    angle = _uniform((systems, points), generator, 0, 2 * math.pi)
    edge = 1 + (heights * torch.sin(waves * angle[:, None] + phases)).sum(1)
    ring = (1 + (_uniform((systems, points), generator) * rings).floor()) / rings
    depth = 1 - band / rings * _uniform((systems, points), generator)
    radius = edge * ring * depth / 1.5
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def _centre(clouds: Tensor) -> Tensor:
    if not len(clouds):
        return clouds
    sample = clouds[..., :1024]
    low, high = torch.quantile(sample, 0.01, -1), torch.quantile(sample, 0.99, -1)
    middle, half = (low + high) / 2, (high - low).amax(1, keepdim=True) / 2
    return (clouds - middle[..., None]) / half[..., None].clamp(min=1e-3)


def _place(points: Tensor, side_px: int, generator: torch.Generator) -> Tensor:
    batch = len(points)
    stretch = _uniform((batch, 2, 1), generator, 0.85, 1.15) * _uniform((batch, 1, 1), generator, 0.55, 1.1)
    mirror = torch.ones_like(stretch)
    mirror[:, 0, 0] = _uniform((batch,), generator).round() * 2 - 1
    turn = _rotation(_uniform((batch,), generator, -math.pi, math.pi))
    shift = _uniform((batch, 2, 1), generator, -0.3, 0.3)
    return torch.baddbmm(shift + 1, turn, points * (stretch * mirror)) * (side_px / 2)


def _histogram(pixels: Tensor, side_px: int) -> Tensor:
    # Integers, because adding floats in a GPU's arbitrary order would change the last bits.
    batch = len(pixels)
    column, row = pixels.floor().to(torch.int64).clamp_(-1, side_px).unbind(1)
    padded = side_px + 2
    index = (row + 1) * padded + column + 1
    counts = torch.zeros(batch, padded**2, dtype=torch.int32, device=pixels.device)
    counts.scatter_add_(1, index, torch.ones_like(counts[:, :1]).expand_as(index))
    return counts.reshape(batch, padded, padded)[:, 1:-1, 1:-1]


def _colours(batch: int, contrast: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the mean of the background and the two ends of the ramp, each (batch, 3)."""
    plain = _uniform((batch, 1), generator) >= contrast
    ground = _uniform((batch, 3), generator, 0.1, 0.9)
    ground = torch.where(plain, ground * 0.25, ground)
    ends = _away_from(ground, generator), _away_from(ground, generator)
    thin, dense = (torch.where(plain, 1 - 0.3 * end, end) for end in ends)
    return ground, thin, dense


def _away_from(mean: Tensor, generator: torch.Generator) -> Tensor:
    candidates = _uniform((len(mean), 8, 3), generator)
    # The opposite corner is at least 0.87 away, so there is always one candidate that passes.
    candidates[:, -1] = (mean < 0.5).float()
    passes = (candidates - mean[:, None]).norm(dim=2) >= COLOUR_GAP
    return candidates[torch.arange(len(mean), device=mean.device), passes.float().argmax(1)]


def _background(mean: Tensor, side_px: int, contrast: float, generator: torch.Generator) -> Tensor:
    batch, device = len(mean), mean.device
    rows = torch.fft.fftfreq(side_px, device=device)[:, None] ** 2
    distance = (rows + torch.fft.rfftfreq(side_px, device=device) ** 2).sqrt().clamp(min=1 / side_px)
    power = _uniform((batch, 2, 1, 1), generator, 0.5, 2.2)
    gain = torch.exp(-power * distance.log())
    gain[..., 0, 0] = 0  # no constant part, so the mean colour stays what was asked for
    spectrum = _normal((batch, 2, side_px, side_px // 2 + 1, 2), generator)
    fields = torch.fft.irfft2(torch.view_as_complex(spectrum) * gain, s=(side_px, side_px)).flatten(2)
    fields = fields / fields.square().mean(2, keepdim=True).sqrt()
    mix = _uniform((batch, 3, 2), generator, -0.25, 0.25)
    image = torch.baddbmm(mean[..., None], mix, fields, alpha=contrast)
    return image.reshape(batch, 3, side_px, side_px)


def _paint(density: Tensor, background: Tensor, thin: Tensor, dense: Tensor) -> Tensor:
    log_density = density.float().log1p()
    level = (log_density / log_density.amax((1, 2), keepdim=True).clamp(min=1))[:, None]
    ramp = thin[..., None, None] + (dense - thin)[..., None, None] * level
    return background.lerp(ramp, (level * 4).clamp(max=1))


def _recolour(image: Tensor, contrast: float, generator: torch.Generator) -> Tensor:
    dice = _uniform((len(image), 1, 1, 1), generator)
    grey = image.mean(1, keepdim=True).expand_as(image)
    image = torch.where(dice < 0.15, grey, image)
    return torch.where((dice > 0.1) & (dice < 0.1 + 0.1 * contrast), 1 - image, image)


def _degrade(image: Tensor, generator: torch.Generator) -> Tensor:
    dice = _uniform((len(image),), generator)
    soft, packed = (dice < 0.1).nonzero()[:, 0], (dice > 0.9).nonzero()[:, 0]
    image[soft] = _blur(image[soft])
    image[packed] = _pack(image[packed], generator)
    return image


def _blur(image: Tensor) -> Tensor:
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image.device) / 16
    weight = kernel.outer(kernel).expand(3, 1, 5, 5)
    padded = functional.pad(image, (2, 2, 2, 2), mode="reflect")
    return torch.conv2d(padded, weight, groups=3)


def _pack(image: Tensor, generator: torch.Generator) -> Tensor:
    # Coarser steps for higher frequencies of 8 px blocks is what JPEG does; its tables are not needed.
    n, count, side = JPEG_BLOCK_PX, len(image), image.shape[-1]
    grid = torch.arange(n, device=image.device)
    basis = torch.cos(math.pi / n * grid[:, None] * (grid + 0.5)) * (2 / n) ** 0.5
    basis[0] /= 2**0.5
    blocks = image.reshape(count, 3, side // n, n, side // n, n).transpose(3, 4)
    coarse = _uniform((count, 1, 1, 1, 1, 1), generator, 0.01, 0.06)
    step = coarse * (1 + grid[:, None] + grid)
    rounded = (basis @ blocks @ basis.T / step).round() * step
    unpacked: Tensor = basis.T @ rounded @ basis
    return unpacked.transpose(3, 4).reshape_as(image)
