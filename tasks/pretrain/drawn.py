"""Batches of images drawn by formula, for the training loop: endless, and harder and larger as training goes on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.backbone.network import memory_format
from tasks.pretrain.draws import seeded
from tasks.pretrain.formula import Scene, World, render
from tasks.train.clock import Clock
from tasks.train.data import Batch, Samples
from tasks.train.ranks import current

MEAN, STD = 0.5, 0.25
EPOCH_IMAGES, VAL_IMAGES = 32_768, 2_048
_SCENE, _IMAGES = range(2)  # parts of the random stream; each is one number of a key
_EASIEST = 0.1
_HARDENING, _SMALL = 0.4, 0.8  # shares of the training: until the images are as hard, and as large, as they get


def positions(count: int) -> Samples:
    """So many images that do not exist yet, for a loop that asks for them by position."""
    none = np.zeros(count, np.int64)
    names = tuple(f"drawn image {i}" for i in range(count))
    return Samples(np.arange(count), none, np.ones(count, np.float32), (), none, names)


@dataclass(frozen=True)
class DrawnBatches:
    """Images of `world`, drawn where they are used.

    Their difficulty rises over the first two fifths of `epochs`, and until the last fifth their side is `small_px`,
    which costs less; with 0 epochs they are at once as in the end, at `input_px`. What is drawn depends on the loop's
    seed, the epoch, the part and the process that draws it.
    """

    world: World
    samples: Samples
    input_px: int
    small_px: int
    device: torch.device
    epochs: int = 0
    clock: Clock = field(default_factory=Clock, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (3, self.input_px, self.input_px)

    def epoch(self, parts: Sequence[NDArray[np.int64]], seed: int, epoch: int) -> Iterator[Batch]:
        """A batch for each of `parts`."""
        done = epoch / self.epochs if self.epochs else 1.0
        side_px = self.input_px if done >= _SMALL else self.small_px
        with self.clock.of("draw"):
            scene = self.world.scene(
                self.input_px, seeded(self.device, seed, self.epochs, _SCENE, epoch, current().rank)
            )
        for part in parts:
            with self.clock.of("draw"):
                generator = seeded(self.device, seed, self.epochs, _IMAGES, epoch, int(part[0]))
                batch = _draw(scene, len(part), side_px, done, generator)
            yield batch


def difficulty(done: float) -> float:
    """Rises with the share of the training that is done: learning does not start on what comes in the end."""
    return min(1.0, _EASIEST + (1 - _EASIEST) * done / _HARDENING)


def _draw(scene: Scene, count: int, side_px: int, done: float, generator: torch.Generator) -> Batch:
    drawn = render(scene, count, side_px, difficulty(done), generator)
    inputs = ((drawn.images - MEAN) / STD).contiguous(memory_format=memory_format(generator.device))
    return Batch(inputs, drawn.labels, drawn.partners, drawn.shares)
