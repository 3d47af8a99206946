"""Labelled images drawn from formulas: shapes and textures, alone and together, painted in colour.

A class is a row of numbers drawn from (seed, SAMPLER_VERSION); no picture is ever stored. Shapes:
tasks/pretrain/shapes.py; textures: tasks/pretrain/textures.py.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tasks.pretrain.draws import normal, rotation, seeded, uniform
from tasks.pretrain.plan import SAMPLER_VERSION
from tasks.pretrain.shapes import POINTS_PER_PIXEL, Shapes, draw_clouds, sample_shapes
from tasks.pretrain.textures import sample_textures, tinted, weave

COLOUR_GAP = 0.35
JPEG_BLOCK_PX = 8
_TURN_RAD = 0.4  # shapes stay upright: features that forget which way up a shape is could not tell 6 from 9
_TEXTURE_SHARE, _BOTH_SHARE = 0.2, 0.3


@dataclass(frozen=True)
class World:
    """The classes of one seed, shapes first and textures behind them in the order of their labels."""

    shapes: Shapes
    textures: Tensor

    def __len__(self) -> int:
        """Count the classes."""
        return len(self.shapes) + len(self.textures)

    def scene(self, side_px: int, generator: torch.Generator) -> "Scene":
        """One variant of every shape, to be painted many times at up to `side_px`: points are dearer than pictures."""
        return Scene(draw_clouds(self.shapes, side_px, 1, generator)[:, 0], self.textures)


@dataclass(frozen=True)
class Scene:
    """What is painted from: point clouds (shapes, 2, points) and textures (textures, numbers)."""

    clouds: Tensor
    textures: Tensor


@dataclass(frozen=True)
class Drawn:
    """Images float (batch, 3, side_px, side_px) in [0, 1]; `labels` and, where a shape lies on a texture, `partners`.

    `shares` is what of the target is the label's: 1 where there is only one class to be seen.
    """

    images: Tensor
    labels: Tensor
    partners: Tensor
    shares: Tensor


def make_world(seed: int, shapes: int, textures: int, device: torch.device) -> World:
    """Draw the classes of a seed: half of the shapes are fractals, half contours.

    Drawn on the CPU and then moved, so that every device knows the same classes.
    """
    generator = seeded(torch.device("cpu"), seed, SAMPLER_VERSION)
    found = sample_shapes(shapes - shapes // 2, shapes // 2, generator)
    return World(found.to(device), sample_textures(textures, generator).to(device))


def render(scene: Scene, count: int, side_px: int, difficulty: float, generator: torch.Generator) -> Drawn:
    """Paint `count` images of random classes.

    `difficulty` in [0, 1] scales the noise of the grounds and how often a shape lies on a texture; a share of
    1 - `difficulty` of the shapes is light on dark, because a fresh network learns nothing from the full mix.
    """
    alone, both = round(_TEXTURE_SHARE * count), round(_BOTH_SHARE * count * difficulty)
    shape, texture = (
        uniform((n,), generator).mul(classes).long()
        for n, classes in ((count - alone, len(scene.clouds)), (alone + both, len(scene.textures)))
    )
    ground, thin, dense = _colours(count, difficulty, generator)
    kinds = scene.textures[texture]
    free = torch.stack([ground[: alone + both], _away_from(ground[: alone + both], generator)], 1)
    low, high = tinted(kinds, free, generator)[..., None, None].unbind(1)
    strength = uniform((alone + both, 1, 1, 1), generator, 0.3, 1)
    strength[alone:] *= 0.5
    textured = low.lerp(high, weave(kinds, side_px, generator)[:, None] * strength)
    plain = _background(ground[alone + both :], side_px, difficulty, generator)
    background = torch.cat([textured, plain])
    points = scene.clouds[shape, :, : POINTS_PER_PIXEL * side_px**2]
    density = _histogram(_place(points, side_px, generator), side_px)
    painted = _paint(density, background[alone:], thin[alone:], dense[alone:])
    images = torch.cat([background[:alone], painted])
    labels = torch.cat([texture[:alone] + len(scene.clouds), shape])
    partners = labels.clone()
    partners[alone : alone + both] = texture[alone:] + len(scene.clouds)
    shares = torch.ones(count, device=images.device)
    shares[alone : alone + both] = 0.5
    images = _degrade(_recolour(images, difficulty, generator), generator).clamp_(0, 1)
    return Drawn(images, labels, partners, shares)


def _place(points: Tensor, side_px: int, generator: torch.Generator) -> Tensor:
    batch = len(points)
    stretch = uniform((batch, 2, 1), generator, 0.85, 1.15) * uniform((batch, 1, 1), generator, 0.55, 1.1)
    turn = rotation(uniform((batch,), generator, -_TURN_RAD, _TURN_RAD))
    shift = uniform((batch, 2, 1), generator, -0.3, 0.3)
    return torch.baddbmm(shift + 1, turn, points * stretch) * (side_px / 2)


def _histogram(pixels: Tensor, side_px: int) -> Tensor:
    # Integers, because adding floats in a GPU's arbitrary order would change the last bits.
    batch = len(pixels)
    column, row = pixels.floor().to(torch.int64).clamp_(-1, side_px).unbind(1)
    padded = side_px + 2
    index = (row + 1) * padded + column + 1
    counts = torch.zeros(batch, padded**2, dtype=torch.int32, device=pixels.device)
    counts.scatter_add_(1, index, torch.ones_like(counts[:, :1]).expand_as(index))
    return counts.reshape(batch, padded, padded)[:, 1:-1, 1:-1]


def _colours(batch: int, difficulty: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the mean of the background and the two ends of the ramp, each (batch, 3)."""
    plain = uniform((batch, 1), generator) >= difficulty
    ground = uniform((batch, 3), generator, 0.1, 0.9)
    ground = torch.where(plain, ground * 0.25, ground)
    ends = _away_from(ground, generator), _away_from(ground, generator)
    thin, dense = (torch.where(plain, 1 - 0.3 * end, end) for end in ends)
    return ground, thin, dense


def _away_from(mean: Tensor, generator: torch.Generator) -> Tensor:
    candidates = uniform((len(mean), 8, 3), generator)
    # The opposite corner is at least 0.87 away, so there is always one candidate that passes.
    candidates[:, -1] = (mean < 0.5).float()
    passes = (candidates - mean[:, None]).norm(dim=2) >= COLOUR_GAP
    return candidates[torch.arange(len(mean), device=mean.device), passes.float().argmax(1)]


def _background(mean: Tensor, side_px: int, difficulty: float, generator: torch.Generator) -> Tensor:
    batch, device = len(mean), mean.device
    rows = torch.fft.fftfreq(side_px, device=device)[:, None] ** 2
    distance = (rows + torch.fft.rfftfreq(side_px, device=device) ** 2).sqrt().clamp(min=1 / side_px)
    power = uniform((batch, 2, 1, 1), generator, 0.5, 2.2)
    gain = torch.exp(-power * distance.log())
    gain[..., 0, 0] = 0  # no constant part, so the mean colour stays what was asked for
    spectrum = normal((batch, 2, side_px, side_px // 2 + 1, 2), generator)
    fields = torch.fft.irfft2(torch.view_as_complex(spectrum) * gain, s=(side_px, side_px)).flatten(2)
    fields = fields / fields.square().mean(2, keepdim=True).sqrt()
    mix = uniform((batch, 3, 2), generator, -0.25, 0.25)
    image = torch.baddbmm(mean[..., None], mix, fields, alpha=difficulty)
    return image.reshape(batch, 3, side_px, side_px)


def _paint(density: Tensor, background: Tensor, thin: Tensor, dense: Tensor) -> Tensor:
    log_density = density.float().log1p()
    level = (log_density / log_density.amax((1, 2), keepdim=True).clamp(min=1))[:, None]
    ramp = thin[..., None, None] + (dense - thin)[..., None, None] * level
    return background.lerp(ramp, (level * 4).clamp(max=1))


def _recolour(image: Tensor, difficulty: float, generator: torch.Generator) -> Tensor:
    dice = uniform((len(image), 1, 1, 1), generator)
    grey = image.mean(1, keepdim=True).expand_as(image)
    image = torch.where(dice < 0.15, grey, image)
    return torch.where((dice > 0.1) & (dice < 0.1 + 0.1 * difficulty), 1 - image, image)


def _degrade(image: Tensor, generator: torch.Generator) -> Tensor:
    dice = uniform((len(image),), generator)
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
    basis = torch.cos(torch.pi / n * grid[:, None] * (grid + 0.5)) * (2 / n) ** 0.5
    basis[0] /= 2**0.5
    blocks = image.reshape(count, 3, side // n, n, side // n, n).transpose(3, 4)
    coarse = uniform((count, 1, 1, 1, 1, 1), generator, 0.01, 0.06)
    step = coarse * (1 + grid[:, None] + grid)
    rounded = (basis @ blocks @ basis.T / step).round() * step
    unpacked: Tensor = basis.T @ rounded @ basis
    return unpacked.transpose(3, 4).reshape_as(image)
