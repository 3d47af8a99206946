"""Pictures from a seed: coarse to fine noise as in photographs, with stripes that tell the classes apart."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.contracts.prepared import Pixels
from tasks.train.data import Samples

CLASSES = 3
_CELLS = ((4, 0.55), (16, 0.25), (64, 0.12))  # cells along a side, and their share of the tones
_STRIPES, _GRAIN = 36, 10  # levels


def picture(number: int, seed: int, size: tuple[int, int]) -> Pixels:
    """A picture (height, width, 3); `size` is (width, height) in px, the class is `number` modulo CLASSES."""
    rng = np.random.default_rng([seed, number])
    width, height = size
    tones = np.zeros((height, width, 3), np.float32)
    for cells, share in _CELLS:
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        tones += share * np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32)
    period_px = 6 * (1 + number % CLASSES)
    tones += _STRIPES * np.sin(np.arange(width) * (2 * np.pi / period_px)).astype(np.float32)[:, None]
    tones += rng.integers(0, _GRAIN, tones.shape, np.uint8)
    return tones.clip(0, 255).astype(np.uint8)


def write_jpegs(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """`count` JPEG files of quality 90 in class folders."""
    for number in range(count):
        path = folder / f"class{number % CLASSES}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, 0, size)).save(path, quality=90)
    return folder


def samples_of(pixels: Pixels, first: int, end: int) -> Samples:
    """The rows from `first` up to `end` as one split."""
    rows = np.arange(first, end)
    hashes = tuple(hashlib.sha256(pixels[row].tobytes()).hexdigest() for row in rows)
    return Samples(rows, rows % CLASSES, np.ones(len(rows), np.float32), hashes, rows % (2 * CLASSES))
