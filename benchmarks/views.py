"""Image sets that ask of photographs what is wrong with them, how far away it is and whether tissue took a stain.

Train and test are disjoint parts of the photographs, or other photographs.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2hed

from benchmarks.panel import SIDE_PX, Pool, Problem, split
from tasks.contracts.prepared import Pixels
from tasks.ingest.crops import PHOTOGRAPHS
from tasks.ingest.demo import open_photograph, toned

_FLAWS = ("sound", "out of focus", "shaken", "noisy", "compressed")
_CROPS = 20  # of a photograph, for each class
_BANDS = 8  # of the stereo pair and the tissue, in turn to train on and to test

Box = tuple[int, int, int, int]


def flaws() -> Problem:
    """What is wrong with a picture: nothing, out of focus, shaken, noisy or compressed; tested on other photographs."""
    rng = np.random.default_rng(5)
    pixels, targets, is_test = [], [], []
    for number, photograph in enumerate(PHOTOGRAPHS):
        for target in range(len(_FLAWS)):
            for _ in range(_CROPS):
                crop = _varied(_cut(photograph.label, _box_in(photograph.box, (0.2, 0.4), rng)), rng)
                pixels.append(_flawed(crop, _FLAWS[target], rng))
                targets.append(target)
                is_test.append(number % 2 == 1)
    return split("flaws", Pool(np.stack(pixels), np.array(targets, np.int64)), np.array(is_test))


def depth() -> Problem:
    """How far away the middle of a crop is (near, between, far) as its stereo pair was measured; in grey, by bands."""
    measured = np.load(_skimage("motorcycle_disp.npz"))["arr_0"]
    picture = Image.open(_skimage("motorcycle_left.png")).convert("L")
    return _banded("depth", picture, np.where(np.isfinite(measured), measured, np.nan), 3)


def stain() -> Problem:
    """Whether tissue took the brown stain, seen in grey at a random brightness; by bands."""
    picture = Image.open(_skimage("ihc.png")).convert("RGB")
    return _banded("stain", picture.convert("L"), rgb2hed(np.asarray(picture))[..., 2], 2)


def _banded(name: str, picture: Image.Image, values: NDArray[np.floating], classes: int) -> Problem:
    """Crops by the mean of `values` around their middles, cut where classes are as many; in turn to train and test."""
    rng = np.random.default_rng(len(name))
    width, height = picture.size
    band, found = width // _BANDS, []
    for number in range(classes * 120 * 2):
        size = int(rng.integers(32, band + 1))
        x = number % _BANDS * band + int(rng.integers(0, band - size + 1))
        y = int(rng.integers(0, height - size))
        inner = values[y + size // 4 : y + 3 * size // 4, x + size // 4 : x + 3 * size // 4]
        found.append(((x, y, x + size, y + size), float(np.nanmean(inner)), number % 2 == 1))
    found = [one for one in found if np.isfinite(one[1])]
    borders = np.quantile([value for _, value, _ in found], np.linspace(0, 1, classes + 1)[1:-1])
    targets = np.searchsorted(borders, [value for _, value, _ in found]).astype(np.int64)
    grey = [_evened(np.asarray(picture.resize((SIDE_PX, SIDE_PX), box=box)), rng) for box, _, _ in found]
    return split(name, Pool(np.stack(grey), targets), np.array([is_test for _, _, is_test in found]))


def _evened(grey: NDArray[np.uint8], rng: np.random.Generator) -> Pixels:
    """At a random mean, so that brightness does not tell."""
    moved = grey.astype(np.float32) - grey.mean() + rng.uniform(96, 160)
    return np.repeat(np.clip(moved, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _flawed(crop: Pixels, flaw: str, rng: np.random.Generator) -> Pixels:
    match flaw:
        case "out of focus":
            return cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.8, 1.6))
        case "shaken":
            return cv2.filter2D(crop, -1, _path(int(rng.integers(2, 4)), rng.uniform(0, np.pi)))
        case "noisy":
            return np.clip(crop + rng.normal(0, rng.uniform(8, 20), crop.shape), 0, 255).astype(np.uint8)
        case "compressed":
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(8, 25))]
            return cv2.imdecode(cv2.imencode(".jpg", crop[..., ::-1], quality)[1], cv2.IMREAD_COLOR)[..., ::-1]
    return crop


def _path(reach_px: int, angle: float) -> NDArray[np.float32]:
    """The kernel of a camera that moved along a line while the shutter was open."""
    side = 2 * reach_px + 1
    kernel = np.zeros((side, side), np.float32)
    for step in np.linspace(-reach_px, reach_px, 4 * side):
        kernel[round(reach_px + step * np.sin(angle)), round(reach_px + step * np.cos(angle))] = 1
    return kernel / kernel.sum()


def _box_in(box: Box, shares: tuple[float, float], rng: np.random.Generator) -> Box:
    """A square somewhere in `box` (left, top, width, height), `shares` of its shorter side; as PIL wants it."""
    left, top, width, height = box
    size = int(rng.uniform(*shares) * min(width, height))
    x, y = left + int(rng.integers(0, width - size)), top + int(rng.integers(0, height - size))
    return x, y, x + size, y + size


def _cut(label: str, box: Box) -> Pixels:
    return np.asarray(_opened(label).resize((SIDE_PX, SIDE_PX), box=box))


def _varied(crop: Pixels, rng: np.random.Generator) -> Pixels:
    return toned(crop, rng.uniform(0.65, 1.5), rng.uniform(0.75, 1.1))


@cache
def _opened(label: str) -> Image.Image:
    return open_photograph(next(one for one in PHOTOGRAPHS if one.label == label))


def _skimage(file: str) -> Path:
    spec = find_spec("skimage")
    return Path(next(iter((spec and spec.submodule_search_locations) or ["?"]))) / "data" / file
