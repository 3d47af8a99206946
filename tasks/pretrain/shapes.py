"""Endless labelled images from formulas: iterated function systems and sinusoid contours.

IFS: Kataoka et al., 2020 (FractalDB), sampled as in Anderson & Farrell, 2022. Contours:
Kataoka et al., 2022 (RCDB) and Takashima et al., 2023 (VisualAtom). Written from the papers.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.pretrain.draws import normal, rotation, uniform

MAPS = 4
BURN_IN = 12
POINTS_PER_PIXEL = 2


@dataclass(frozen=True)
class Shapes:
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

    def to(self, device: torch.device) -> "Shapes":
        """The same shapes on another device."""
        return Shapes(self.maps.to(device), self.chances.to(device), self.orbits.to(device))


def sample_shapes(ifs: int, contours: int, generator: torch.Generator) -> Shapes:
    """Draw the class parameters of `ifs` screened fractals and `contours` contours."""
    kept: list[tuple[Tensor, Tensor]] = []
    while sum(len(maps) for maps, _ in kept) < ifs:
        maps, chances = _sample_maps(max(ifs, 16), generator)
        passed = _well_spread(walk(maps, chances, 1024, generator))
        kept.append((maps[passed], chances[passed]))
    maps = torch.cat([torch.empty(0, MAPS, 6), *(pair[0] for pair in kept)])[:ifs]
    chances = torch.cat([torch.empty(0, MAPS), *(pair[1] for pair in kept)])[:ifs]
    orbits = _sample_orbits(contours, generator)
    return Shapes(maps, chances, orbits)


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


def draw_clouds(shapes: Shapes, side_px: int, variants: int, generator: torch.Generator) -> Tensor:
    """Draw `variants` perturbed point clouds of every class: (classes, variants, 2, points).

    Coordinates are centred and scaled so that nearly all points lie in [-1, 1]; there are enough
    points to fill an object of `side_px`.
    """
    points = POINTS_PER_PIXEL * side_px**2
    maps = _perturb_maps(shapes.maps.repeat_interleave(variants, 0), generator)
    fractals = walk(maps, shapes.chances.repeat_interleave(variants, 0), points, generator)
    contours = _trace(shapes.orbits.repeat_interleave(variants, 0), points, generator)
    clouds = torch.cat([_centre(fractals), contours])
    return clouds.reshape(len(shapes), variants, 2, points)


def _sample_maps(wanted: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    # Anderson & Farrell bound the sum of sigma1 + 2 sigma2; rejection gives the same law more plainly.
    tries = 12 * wanted
    count = torch.randint(2, MAPS + 1, (tries, 1), generator=generator)
    used = torch.arange(MAPS) < count
    sigma = uniform((tries, MAPS, 2), generator).sort(-1, descending=True).values
    weight = ((sigma[..., 0] + 2 * sigma[..., 1]) * used).sum(1, keepdim=True)
    fits = ((weight >= (5 + count) / 2) & (weight <= (6 + count) / 2)).flatten()
    turn, turn_back = uniform((2, tries, MAPS), generator, -math.pi, math.pi)
    mirror = torch.randint(0, 2, (tries, MAPS, 2), generator=generator) * 2.0 - 1
    linear = rotation(turn) @ torch.diag_embed(sigma) @ rotation(turn_back) @ torch.diag_embed(mirror)
    maps = torch.cat([linear.flatten(2), uniform((tries, MAPS, 2), generator, -1, 1)], 2)
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
    heights = uniform((contours, 2), generator, 0.05, 0.45)
    phases = uniform((contours, 2), generator, 0, 2 * math.pi)
    rings = torch.randint(1, 6, (contours, 1), generator=generator).float()
    # Cubed, most bands are thin lines and a few are filled shapes.
    band = uniform((contours, 1), generator) ** 3 * 0.9 + 0.02
    return torch.cat([waves, heights, phases, rings, band], 1)


def _perturb_maps(maps: Tensor, generator: torch.Generator) -> Tensor:
    # Turning and shrinking never make a contraction expand; scaling entries freely could.
    turn = rotation(0.08 * normal(maps.shape[:2], generator))
    shrink = uniform((*maps.shape[:2], 1), generator, 0.93, 1)
    linear = (turn @ maps[..., :4].reshape(-1, MAPS, 2, 2)).flatten(2) * shrink
    shift = maps[..., 4:] + 0.05 * normal((*maps.shape[:2], 2), generator)
    return torch.cat([linear, shift], 2)


def _trace(orbits: Tensor, points: int, generator: torch.Generator) -> Tensor:
    waves, heights, phases = (orbits[:, i : i + 2, None] for i in (0, 2, 4))
    rings, band = orbits[:, 6:7], orbits[:, 7:8]
    systems = len(orbits)
    heights = heights * uniform((systems, 2, 1), generator, 0.8, 1.2)
    phases = phases + 0.15 * normal((systems, 2, 1), generator)
    angle = uniform((systems, points), generator, 0, 2 * math.pi)
    edge = 1 + (heights * torch.sin(waves * angle[:, None] + phases)).sum(1)
    ring = (1 + (uniform((systems, points), generator) * rings).floor()) / rings
    depth = 1 - band / rings * uniform((systems, points), generator)
    radius = edge * ring * depth / 1.5
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def _centre(clouds: Tensor) -> Tensor:
    if not len(clouds):
        return clouds
    sample = clouds[..., :1024]
    low, high = torch.quantile(sample, 0.01, -1), torch.quantile(sample, 0.99, -1)
    middle, half = (low + high) / 2, (high - low).amax(1, keepdim=True) / 2
    return (clouds - middle[..., None]) / half[..., None].clamp(min=1e-3)
