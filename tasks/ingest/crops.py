"""Where the demo's images are cut from: the photographs, and one band of each for every split.

A photograph is cut into bands along its width; a band belongs to one split, so no pixel is in two splits.
Inside a band crops stand centred on a square grid. Their size is at most 4/3 of the grid's pitch, so that two
neighbours share at most a quarter of the smaller one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Photograph:
    """A file in an installed package; `box` (left, top, width, height in px) is the part that is used."""

    label: str
    package: str
    file: str
    box: tuple[int, int, int, int]
    pitch_px: int  # a multiple of 6: then 4/3 of it is even


PHOTOGRAPHS = (
    Photograph("astronaut", "skimage", "data/astronaut.png", (0, 0, 512, 512), 42),
    Photograph("brick", "skimage", "data/brick.png", (0, 0, 512, 512), 42),
    Photograph("cameraman", "skimage", "data/camera.png", (0, 60, 512, 452), 42),
    Photograph("cat", "skimage", "data/chelsea.png", (0, 0, 451, 300), 36),
    Photograph("coffee", "skimage", "data/coffee.png", (0, 0, 600, 400), 42),
    Photograph("coins", "skimage", "data/coins.png", (0, 0, 384, 303), 36),
    Photograph("dahlia", "sklearn", "datasets/images/flower.jpg", (130, 0, 510, 427), 42),
    Photograph("galaxies", "skimage", "data/hubble_deep_field.jpg", (0, 0, 640, 500), 48),
    Photograph("grass", "skimage", "data/grass.png", (0, 0, 512, 512), 42),
    Photograph("gravel", "skimage", "data/gravel.png", (0, 0, 512, 512), 42),
    Photograph("moon", "skimage", "data/moon.png", (0, 0, 512, 512), 42),
    Photograph("motorcycle", "skimage", "data/motorcycle_left.png", (60, 40, 640, 440), 48),
    Photograph("pagoda", "sklearn", "datasets/images/china.jpg", (0, 0, 640, 427), 42),
    Photograph("retina", "skimage", "data/retina.jpg", (220, 400, 640, 500), 48),
    Photograph("rocket", "skimage", "data/rocket.jpg", (40, 60, 600, 367), 42),
    Photograph("tissue", "skimage", "data/ihc.png", (0, 0, 512, 512), 42),
)


@dataclass(frozen=True)
class Crop:
    """A square of the photograph, in px from its top left corner, and the split that its band belongs to."""

    split: str
    x: int
    y: int
    size_px: int


def crops(photograph: Photograph, rng: np.random.Generator) -> Iterator[Crop]:
    """The crops of one photograph, band by band, with sizes between about 0.8 and 4/3 of the pitch."""
    left, top, width, height = photograph.box
    pitch, largest = photograph.pitch_px, photograph.pitch_px * 4 // 3
    rows = (height - largest) // pitch + 1
    for split, start, columns in bands(width, pitch):
        for column in range(columns):
            for row in range(rows):
                margin = int(rng.integers(0, pitch // 4 + 1))  # on each side, so the crop stays centred
                x, y = left + start + column * pitch + margin, top + row * pitch + margin
                yield Crop(split, x, y, largest - 2 * margin)


def bands(width_px: int, pitch_px: int) -> list[tuple[str, int, int]]:
    """(split, start in px, columns of crops) of each band; train comes in three, with the others between.

    A band of n columns is n pitches and a third wide: its outer crops reach a sixth beyond the grid on each side.
    """
    columns = (width_px - 6 * (pitch_px // 3)) // pitch_px
    test, val, promotion = (max(1, round(columns * share)) for share in (0.42, 0.15, 0.13))
    train = columns - test - val - promotion
    parts = [train // 3 + (train % 3 > 0), val, train // 3 + (train % 3 > 1), test, train // 3, promotion]
    out, start = [], 0
    for split, count in zip(("train", "val", "train", "test", "train", "promotion"), parts, strict=True):
        if count:
            out.append((split, start, count))
            start += count * pitch_px + pitch_px // 3
    return out
