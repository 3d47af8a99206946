"""Pictures that no camera took, for the golden samples of a bundle: drawn from a seed, stored without loss.

Together they need every rule of the decoder: they are wide, tall, large and small, in colour, in 16-bit grey, with a
palette and with transparency, and two are turned by EXIF. Each has broad waves, saturated rectangles and a fine
pattern, and is no mirror image of itself, so another crop, resize, turn or order of channels gives other pixels.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SEED = 61  # the number of the fault they are there for
_LEVELS = 24  # of each channel: few, so that the files stay small
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Kind:
    """One golden sample: width and height in sides of a prepared square, the mode of its file, its EXIF turn."""

    name: str
    width: float
    height: float
    mode: str = "RGB"
    turn: int = 1


KINDS = (
    Kind("wide", 1.6, 1.0),
    Kind("tall", 1.0, 1.5),
    Kind("large", 2.4, 2.2),
    Kind("quarter-turned", 1.4, 1.1, turn=6),
    Kind("upside-down", 1.1, 1.3, turn=3),
    Kind("transparent", 1.2, 1.0, "RGBA"),
    Kind("grey-16-bit", 1.3, 1.0, "I;16"),
    Kind("small-palette", 0.7, 0.6, "P"),
)


def golden_files(side_px: int) -> dict[str, bytes]:
    """Name -> PNG bytes, for images that are prepared at `side_px`; equal sides give equal pictures."""
    streams = np.random.default_rng(_SEED).spawn(len(KINDS))
    return {kind.name: _png(kind, side_px, rng) for kind, rng in zip(KINDS, streams, strict=True)}


def _png(kind: Kind, side_px: int, rng: np.random.Generator) -> bytes:
    width, height = (max(8, round(side_px * factor)) for factor in (kind.width, kind.height))
    image = _in_mode(_scene(width, height, rng), kind.mode)
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = kind.turn
    file = io.BytesIO()
    image.save(file, "PNG", **({"exif": exif} if kind.turn != 1 else {}))
    return file.getvalue()


def _scene(width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture (height, width, 3)."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    picture = np.full((height, width, 3), 0.5)
    for _ in range(3):
        across, down = rng.uniform(-9, 9, 2)
        phase = rng.uniform(0, 2 * np.pi, 3)
        picture += 0.16 * np.sin(2 * np.pi * (across * x + down * y)[..., None] / 2 + phase)
    for _ in range(5):
        top, left = rng.uniform(0, 0.8, 2) * (height, width)
        tall, wide = rng.uniform(0.12, 0.4, 2) * (height, width)
        picture[int(top) : int(top + tall), int(left) : int(left + wide)] = rng.choice([0.05, 0.5, 0.95], 3)
    fine = slice(height // 8, height // 2), slice(width // 2, width - width // 8)
    picture[fine] += (
        0.25 * np.where((np.arange(width)[None, fine[1]] + np.arange(height)[fine[0], None]) % 3 < 1, 1, -1)[..., None]
    )
    levels = np.rint(picture.clip(0, 1) * (_LEVELS - 1)) / (_LEVELS - 1)
    found: NDArray[np.uint8] = np.rint(levels * 255).astype(np.uint8)
    return found


def _in_mode(scene: NDArray[np.uint8], mode: str) -> Image.Image:
    image = Image.fromarray(scene)
    if mode == "RGBA":
        veil = np.tile(np.linspace(40, 255, 8).repeat(-(-scene.shape[1] // 8))[: scene.shape[1]], (scene.shape[0], 1))
        image.putalpha(Image.fromarray(veil.astype(np.uint8)))
    elif mode == "I;16":
        grey = scene.astype(np.uint16) @ np.array([77, 151, 28], np.uint16)  # up to 65280: more than 8 bits tell
        return Image.fromarray(grey)
    elif mode == "P":
        return image.quantize(16, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return image
