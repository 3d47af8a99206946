"""Real image sets that come with the packages: what is transferred to, in every comparison of the same kind.

Each has a pool to train on and a test set of other images: the other half of each photograph, the last ones of the
others. Who wrote a digit and whose face it is, the packages do not say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tasks.contracts.prepared import Pixels
from tasks.ingest.crops import PHOTOGRAPHS
from tasks.ingest.demo import open_photograph, toned

SIDE_PX = 48
_VIEWS = 90  # crops of each half of a photograph
_SURFACES = ("brick", "grass", "gravel", "moon", "tissue", "galaxies")
_TEST_SHARE = 0.4

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Images (n, SIDE_PX, SIDE_PX, 3) with their classes (n,)."""

    pixels: Pixels
    targets: Ints

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Problem:
    """One image set: what may be trained on, and what is tested on."""

    name: str
    classes: int
    train: Pool
    test: Pool


def drawn(problem: Problem, each: int, seed: int) -> tuple[Pool, Pool]:
    """So many training images of each class, and a fifth as many for val (five at least), drawn by `seed`."""
    train, val = places(problem, each, seed)
    return part(problem.train, train), part(problem.train, val)


def places(problem: Problem, each: int, seed: int) -> tuple[Ints, Ints]:
    """Where these images stand among those that may be trained on."""
    rng = np.random.default_rng(seed)
    held = max(5, each // 5)
    train, val = [], []
    for label in range(problem.classes):
        chosen = rng.permutation(np.flatnonzero(problem.train.targets == label))[: each + held]
        train.append(chosen[:-held])
        val.append(chosen[-held:])
    return np.concatenate(train), np.concatenate(val)


def _digits() -> Problem:
    """Handwritten digits; the last ones of scikit-learn's order are the test set."""
    data = load_digits()
    grey = (data.images * (255 / 16)).astype(np.uint8)
    border = round(len(grey) * (1 - _TEST_SHARE))
    pool = Pool(_coloured(grey), data.target.astype(np.int64))
    return split("digits", pool, np.arange(len(grey)) >= border)


def _faces() -> Problem:
    """Faces and what is none, of 25 px, as scikit-image ships them (from Labeled Faces in the Wild)."""
    spec = find_spec("skimage")
    folder = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path()
    grey = (np.load(folder / "data" / "lfw_subset.npy") * 255).astype(np.uint8)
    targets = np.repeat([1, 0], len(grey) // 2).astype(np.int64)
    places = np.arange(len(grey)) % (len(grey) // 2)
    return split("faces", Pool(_coloured(grey), targets), places >= len(grey) // 2 * (1 - _TEST_SHARE))


def _photographs() -> Problem:
    """Which photograph a crop is from: the left half to train on, the right one to test; tones vary."""
    return _crops("photographs", tuple(one.label for one in PHOTOGRAPHS), (32, 64), grey=False)


def _surfaces() -> Problem:
    """Six surfaces in grey from small crops, so that neither colour nor composition tells them apart."""
    return _crops("surfaces", _SURFACES, (20, 32), grey=True)


def _crops(name: str, labels: tuple[str, ...], sizes: tuple[int, int], *, grey: bool) -> Problem:
    rng = np.random.default_rng(len(name))
    pixels, targets, is_test = [], [], []
    for target, label in enumerate(labels):
        photograph = next(one for one in PHOTOGRAPHS if one.label == label)
        picture, (left, top, width, height) = open_photograph(photograph), photograph.box
        for half in (False, True):
            for _ in range(_VIEWS):
                size = int(rng.integers(*sizes))
                x = left + half * (width // 2) + int(rng.integers(0, width // 2 - size))
                box = (x, y := top + int(rng.integers(0, height - size)), x + size, y + size)
                crop = np.asarray(picture.resize((SIDE_PX, SIDE_PX), box=box))
                crop = toned(crop, rng.uniform(0.65, 1.5), rng.uniform(0.75, 1.1))
                pixels.append(
                    cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) if grey else crop
                )
                targets.append(target)
                is_test.append(half)
    return split(name, Pool(np.stack(pixels), np.array(targets, np.int64)), np.array(is_test))


def _coloured(grey: NDArray[np.uint8]) -> Pixels:
    sized = [cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC) for image in grey]
    return np.repeat(np.stack(sized)[..., None], 3, axis=3)


def split(name: str, pool: Pool, is_test: NDArray[np.bool_]) -> Problem:
    """The images in two: those to train on and those marked for the test."""
    train, test = part(pool, np.flatnonzero(~is_test)), part(pool, np.flatnonzero(is_test))
    return Problem(name, int(pool.targets.max()) + 1, train, test)


def part(pool: Pool, chosen: Ints) -> Pool:
    """The images at these positions."""
    return Pool(pool.pixels[chosen], pool.targets[chosen])


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits": _digits,
    "faces": _faces,
    "photographs": _photographs,
    "surfaces": _surfaces,
}
