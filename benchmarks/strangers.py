"""Pictures that an image set has nothing to do with: other photographs, noise, pages of text, other image sets."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.panel import PROBLEMS, SIDE_PX
from tasks.contracts.prepared import Pixels
from tasks.ingest.crops import PHOTOGRAPHS
from tasks.ingest.demo import open_photograph, toned

_PAGES = ("page.png", "text.png")
_WORDS = ("it", "was", "the", "best", "of", "times", "worst", "age", "wisdom", "foolishness", "epoch", "belief")


def photographs(labels: tuple[str, ...], count: int, rng: np.random.Generator) -> Pixels:
    """Crops of these photographs at all scales, their tones varied as those of the image sets are."""
    chosen = [one for one in PHOTOGRAPHS if one.label in labels]
    opened = [(open_photograph(one), one.box) for one in chosen]
    found = []
    for number in range(count):
        picture, (left, top, width, height) = opened[number % len(opened)]
        size = int(rng.uniform(0.12, 0.9) * min(width, height))
        x, y = left + int(rng.integers(0, width - size)), top + int(rng.integers(0, height - size))
        crop = np.asarray(picture.resize((SIDE_PX, SIDE_PX), box=(x, y, x + size, y + size)))
        found.append(toned(crop, rng.uniform(0.65, 1.5), rng.uniform(0.75, 1.1)))
    return np.stack(found)


def noise(count: int, rng: np.random.Generator) -> Pixels:
    """Noise with a grain of one or two pixels, in colour and in grey, of weak and of strong contrast."""
    return _noise((SIDE_PX // 2, SIDE_PX), count, rng)


def clouds(count: int, rng: np.random.Generator) -> Pixels:
    """The same with a grain of a twelfth to a quarter of the side: smooth, and the harder to tell from a picture."""
    return _noise((4, SIDE_PX // 4), count, rng)


def _noise(grains: tuple[int, int], count: int, rng: np.random.Generator) -> Pixels:
    found = []
    for number in range(count):
        cells = int(rng.integers(grains[0], grains[1], endpoint=True))
        grain = rng.normal(0, 1, (cells, cells, 1 if number % 2 else 3)).astype(np.float32)
        field = cv2.resize(grain, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC).reshape(SIDE_PX, SIDE_PX, -1)
        found.append(np.broadcast_to(rng.uniform(60, 190) + rng.uniform(20, 70) * field, (SIDE_PX, SIDE_PX, 3)))
    return np.stack(found).clip(0, 255).astype(np.uint8)


def text_pages(count: int, rng: np.random.Generator) -> Pixels:
    """Pages full of text: half cut from two scanned ones, half set in OpenCV's faces, dark on light."""
    scans = [Image.open(_skimage(name)).convert("RGB") for name in _PAGES]
    return np.stack([_scanned(scans[n // 2 % 2], rng) if n % 2 else _set(rng) for n in range(count)])


def other_set(name: str, count: int, rng: np.random.Generator) -> Pixels:
    """Images of another set of the panel."""
    pixels = PROBLEMS[name]().test.pixels
    return pixels[rng.permutation(len(pixels))[:count]]


def _scanned(page: Image.Image, rng: np.random.Generator) -> Pixels:
    size = int(rng.uniform(0.4, 1.0) * min(page.size))
    x, y = (int(rng.integers(0, length - size + 1)) for length in page.size)
    return np.asarray(page.resize((SIDE_PX, SIDE_PX), box=(x, y, x + size, y + size)))


def _set(rng: np.random.Generator) -> Pixels:
    paper, ink = rng.uniform(215, 255), rng.uniform(0, 70)
    page = np.full((8 * SIDE_PX, 8 * SIDE_PX), paper, np.uint8)
    for line in range(int(rng.integers(10, 18))):
        words = " ".join(rng.choice(_WORDS, 9))
        place = (int(rng.integers(4, 20)), 22 + 22 * line)
        cv2.putText(page, words, place, int(rng.choice([0, 3, 4])), 0.7, float(ink), 1, cv2.LINE_AA)
    small = cv2.resize(page, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.repeat(small[..., None], 3, axis=2)


def _skimage(file: str) -> Path:
    spec = find_spec("skimage")
    return Path(next(iter((spec and spec.submodule_search_locations) or ["?"]))) / "data" / file
