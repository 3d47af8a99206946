"""Thousands of distinct, photograph-like pictures from a seed.

Windows of the photographs that scikit-image and scikit-learn ship, bent, recoloured, laid over each other and lit
anew by random fields. Two numbers may show a part of the same photograph, but never at the same place and size, nor
in the same light: they are no copies of each other.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGB = NDArray[np.uint8]
Field = NDArray[np.float32]  # (height, width), mean about 0 and deviation about 1
Colours = NDArray[np.float32]  # (height, width, 3), 0 to 1

LONG_PX, SHORT_PX = 450, 338  # 0.15 megapixels
_SHIPPED = {
    "skimage": "astronaut brick camera chelsea coffee coins grass gravel hubble_deep_field ihc moon motorcycle_left "
    "retina rocket",
    "sklearn": "china flower",
}
_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
_PORTRAIT, _HARD_MASK = 0.3, 0.5  # shares of the scenes


def scene(number: int, seed: int) -> RGB:
    """The picture `number` of `seed`, (338, 450, 3) or, for three of ten, (450, 338, 3): colour, sharp, well lit."""
    rng = np.random.default_rng([seed, number])
    height, width = (LONG_PX, SHORT_PX) if rng.random() < _PORTRAIT else (SHORT_PX, LONG_PX)
    size = (height, width)
    far, near = (_window(rng, size) for _ in range(2))
    if rng.random() < 0.4:
        far = cv2.GaussianBlur(far, (0, 0), rng.uniform(1, 5))  # depth of field
    picture = far + (near - far) * _mask(rng, size)[..., None]
    picture = _with_things(picture, rng)
    return _developed(_lit(picture, rng), rng)


def field(rng: np.random.Generator, size: tuple[int, int], roughness: float) -> Field:
    """Noise over (height, width) whose octaves lose the factor `roughness` each; 0.5 looks like clouds."""
    height, width = size
    half = (height // 2, width // 2)  # four times as fast, and the eye does not see it
    total = np.zeros(half, np.float32)
    for octave in range(6):
        cells = 3 * 2**octave
        coarse = rng.standard_normal((cells, cells), np.float32) * np.float32(roughness**octave)
        total += cv2.resize(coarse, half[::-1], interpolation=cv2.INTER_CUBIC)
    total = (total - total.mean()) / (total.std() + np.float32(1e-6))
    return cast(Field, cv2.resize(total, (width, height), interpolation=cv2.INTER_LINEAR))


@cache
def photographs() -> tuple[Colours, ...]:
    """The shipped photographs at their own size, colour or grey, as RGB from 0 to 1."""
    found = []
    for package, names in _SHIPPED.items():
        spec = find_spec(package)  # not imported: skimage.data could download
        folder = Path(next(iter((spec.submodule_search_locations if spec else None) or ["?"]))) / _FOLDERS[package]
        found += [next(folder.glob(f"{name}.*")) for name in names.split()]
    return tuple(np.asarray(Image.open(path).convert("RGB"), np.float32) / np.float32(255) for path in found)


def _window(rng: np.random.Generator, size: tuple[int, int]) -> Colours:
    """A part of a photograph, turned, scaled, mirrored, bent and recoloured."""
    shelf = photographs()
    photograph = shelf[rng.integers(len(shelf))]
    across, down = _bent(rng, size, photograph.shape)
    window = cv2.remap(photograph, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    mixed = np.eye(3) * rng.uniform(0.6, 1) + rng.dirichlet((1, 1, 1), 3) * rng.uniform(0.1, 0.4)
    tint = rng.uniform(0.65, 1.2, 3)
    return cast(Colours, cv2.transform(window, (mixed * tint[:, None]).astype(np.float32)))


def _bent(rng: np.random.Generator, size: tuple[int, int], shape: tuple[int, ...]) -> tuple[Field, Field]:
    """For each pixel its place in a photograph of `shape`: an affine map and a slow wave on top."""
    height, width = size
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.1) * min(shape[:2]) / LONG_PX
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([rng.choice((-1.0, 1.0)) * rng.uniform(0.7, 1.2), 1.0])
    centre = rng.uniform(0.25, 0.75, 2) * (shape[1], shape[0])
    x = np.arange(width, dtype=np.float32)[None] - width / 2
    y = np.arange(height, dtype=np.float32)[:, None] - height / 2
    waves = rng.standard_normal((2, 6, 6), np.float32) * np.float32(10 * zoom)
    wave_x, wave_y = (cv2.resize(wave, (width, height)) for wave in waves.astype(np.float32))
    across = np.float32(turn[0, 0]) * x + np.float32(turn[0, 1]) * y + np.float32(centre[0]) + wave_x
    down = np.float32(turn[1, 0]) * x + np.float32(turn[1, 1]) * y + np.float32(centre[1]) + wave_y
    return cast(Field, across), cast(Field, down)


def _mask(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Where the near window covers the far one, 0 to 1: patches with a hard or a soft edge."""
    slope = 20 if rng.random() < _HARD_MASK else rng.uniform(0.5, 2)
    level = field(rng, size, rng.uniform(0.3, 0.6)) + np.float32(rng.uniform(-0.5, 0.5))
    return cast(Field, np.clip(level * np.float32(slope) + np.float32(0.5), 0, 1))


def _with_things(picture: Colours, rng: np.random.Generator) -> Colours:
    """A few things with a clean edge before the picture: round ones and ones with corners."""
    height, width = picture.shape[:2]
    canvas = np.ascontiguousarray(picture, np.float32)
    for _ in range(rng.integers(0, 5)):
        tone = rng.uniform(0, 1) + rng.uniform(-0.2, 0.2, 3)
        centre = rng.uniform(0, 1, 2) * (width, height)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.choice((3, 4, 5, 40))))
        spokes = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(5, 70, 2)
        turn = rng.uniform(0, np.pi)
        spokes = spokes @ [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        cv2.fillPoly(canvas, [np.rint(centre + spokes).astype(np.int32)], tone.tolist())
    return canvas


def _lit(picture: Colours, rng: np.random.Generator) -> Colours:
    """Light and shadow that fall on the picture, another for each scene."""
    size = picture.shape[:2]
    light = np.maximum(1 + field(rng, size, 0.45) * np.float32(rng.uniform(0.1, 0.4)), 0.1)
    haze = field(rng, size, 0.5) * np.float32(rng.uniform(0.02, 0.1))
    hue = rng.uniform(-1, 1, 3).astype(np.float32)
    return cast(Colours, picture * light[..., None] + cv2.merge([haze * tone for tone in hue]))


def _developed(picture: Colours, rng: np.random.Generator) -> RGB:
    """8 bits: tones from nearly black to nearly white, the grain of a sensor, a lens that is not perfect."""
    low, middle, high = np.percentile(picture[::4, ::4], (1, 50, 99))
    black, white = rng.uniform(0, 0.12), rng.uniform(0.85, 1)
    span = max(high - low, 0.05)
    gamma = np.clip(np.log(rng.uniform(0.3, 0.6)) / np.log(np.clip((middle - low) / span, 0.02, 0.98)), 0.5, 1.6)
    tones = cv2.pow(np.clip((picture - low) * np.float32(1 / span), 0, 1.2), float(gamma))
    grain = rng.standard_normal(picture.shape[:2], np.float32) * np.float32(rng.uniform(0.002, 0.012))
    levels = tones * np.float32(255 * (white - black)) + (grain + np.float32(black))[..., None] * np.float32(255)
    return cast(RGB, cv2.GaussianBlur(cv2.convertScaleAbs(np.maximum(levels, 0)), (0, 0), rng.uniform(0.35, 0.8)))
