"""Pictures that resemble each other and yet are no copies: a search for near-duplicates must leave them alone."""

from collections.abc import Callable
from itertools import permutations

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.scenes import RGB, field, photographs, scene

Draw = Callable[[np.random.Generator, int], list[RGB]]

_DRAWING_PX, _TEXTURE_PX = 160, 200
_TEXTURES = (1, 6, 7)  # brick, grass and gravel among the photographs
_LETTERS = "aegkmnqrswyABEGKMQRSW2345678&"  # not I, l, 1 or @, one shape in several faces; not 9, a 6 that is turned
_FACES = (
    (cv2.FONT_HERSHEY_SIMPLEX, 0.0),
    (cv2.FONT_HERSHEY_SIMPLEX, 0.35),
    (cv2.FONT_HERSHEY_COMPLEX, 0.0),
    (cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 0.0),
)


def textures(rng: np.random.Generator, count: int) -> list[RGB]:
    """Neighbouring windows of brick, grass or gravel; two share at most a quarter of the smaller one."""
    windows = []
    for number in range(count):
        texture = photographs()[_TEXTURES[number % len(_TEXTURES)]]
        pitch = 60
        columns = (texture.shape[1] - 20) // pitch
        row, column = divmod(number // len(_TEXTURES) % columns**2, columns)
        size = int(rng.integers(64, pitch * 4 // 3))
        x, y = (pitch * place + (pitch * 4 // 3 - size) // 2 for place in (column, row))
        window = texture[y : y + size, x : x + size] * rng.uniform(0.75, 1.1) + rng.uniform(-0.05, 0.05)
        windows.append(_enlarged(_levels(window), _TEXTURE_PX))
    return windows


def digits(rng: np.random.Generator, count: int) -> list[RGB]:
    """Handwritten digits of scikit-learn, 8 px high as they come, enlarged; every one another writing."""
    written = load_digits().images
    chosen = rng.choice(len(written), min(count, len(written)), replace=False)
    return [_enlarged(_levels(np.repeat(written[number][..., None], 3, axis=2) / 16), 64) for number in chosen]


def glyphs(rng: np.random.Generator, count: int) -> list[RGB]:
    """Letters in four of OpenCV's stroke faces, each letter once in each: plain, slanted, with serifs, in script."""
    kinds = [(letter, face, slant) for letter in _LETTERS for face, slant in _FACES]
    return [_glyph(*kinds[int(number)]) for number in rng.permutation(len(kinds))[:count]]


def skies(rng: np.random.Generator, count: int) -> list[RGB]:
    """Blue above and pale below, with clouds of their own."""
    down = np.linspace(0, 1, 240, dtype=np.float32)[:, None, None]
    pictures = []
    for _ in range(count):
        top, bottom = np.array([0.25, 0.45, 0.8]), np.array([0.75, 0.85, 0.95])
        sky = top + (bottom - top) * down + rng.uniform(-0.04, 0.04, 3)
        clouds = np.clip(field(rng, (240, 320), 0.5), 0, 3)[..., None] * rng.uniform(0.03, 0.12)
        pictures.append(_levels(sky + clouds))
    return pictures


def shapes(rng: np.random.Generator, count: int) -> list[RGB]:
    """A disc, a square and a ring in three of sixteen cells; no two pictures are equal after a turn or a mirroring."""
    kinds: dict[bytes, tuple[int, ...]] = {}
    for cells in permutations(range(16), 3):
        board = np.zeros((4, 4), np.uint8)
        board.flat[list(cells)] = (1, 2, 3)
        kinds.setdefault(min(turned.tobytes() for turned in _turns(board)), cells)
    every = list(kinds.values())
    return [_shapes(every[int(number)]) for number in rng.permutation(len(every))[:count]]


def layouts(rng: np.random.Generator, count: int) -> list[RGB]:
    """Twos of different scenes with the same light and dark places, as of two photographs framed alike."""
    pictures = []
    for _ in range((count + 1) // 2):
        seed = int(rng.integers(2**31))
        layout, *others = (cv2.resize(scene(number, seed), (400, 400)).astype(np.float32) for number in range(3))
        soft = cv2.GaussianBlur(layout, (0, 0), 30)
        pictures += [_levels((soft + other - cv2.GaussianBlur(other, (0, 0), 30)) / 255) for other in others]
    return pictures[:count]


def flats(rng: np.random.Generator, count: int) -> list[RGB]:
    """One colour, the same one again and again among them; half of the pictures with the noise of a sensor."""
    pictures = []
    for number in range(count):
        colour = rng.integers(0, 256, 3) if number % 3 else np.array([255, 255, 255])
        noise = rng.normal(0, 2, (240, 320, 1)) if number % 2 else np.zeros((240, 320, 1))
        pictures.append(np.clip(np.rint(colour + noise), 0, 255).astype(np.uint8))
    return pictures


LOOKALIKES: dict[str, Draw] = {
    "texture": textures,
    "digit": digits,
    "glyph": glyphs,
    "sky": skies,
    "shape": shapes,
    "layout": layouts,
}


def _turns(board: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.asarray(np.rot90(side, quarter)) for side in (board, board[::-1]) for quarter in range(4)]


def _shapes(cells: tuple[int, ...]) -> RGB:
    canvas = np.full((_DRAWING_PX, _DRAWING_PX, 3), (235, 230, 220), np.uint8)
    (disc, square, ring) = ((20 + 40 * (cell % 4), 20 + 40 * (cell // 4)) for cell in cells)
    cv2.circle(canvas, disc, 16, (40, 80, 200), -1, cv2.LINE_AA)
    cv2.rectangle(canvas, (square[0] - 15, square[1] - 15), (square[0] + 15, square[1] + 15), (200, 40, 40), -1)
    cv2.circle(canvas, ring, 14, (20, 20, 20), 5, cv2.LINE_AA)
    return canvas


def _glyph(letter: str, face: int, slant: float) -> RGB:
    canvas = np.full((_DRAWING_PX, _DRAWING_PX, 3), 255, np.uint8)
    (width, height), _ = cv2.getTextSize(letter, face, 4, 5)
    place = ((_DRAWING_PX - width) // 2, (_DRAWING_PX + height) // 2)
    cv2.putText(canvas, letter, place, face, 4, (20, 20, 20), 5, cv2.LINE_AA)
    shear = np.array([[1, -slant, slant * _DRAWING_PX / 2], [0, 1, 0]])
    sheared = cv2.warpAffine(canvas, shear, (_DRAWING_PX, _DRAWING_PX), borderValue=(255, 255, 255))
    return np.asarray(sheared, np.uint8)


def _enlarged(picture: RGB, side_px: int) -> RGB:
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_CUBIC), np.uint8)


def _levels(picture: np.ndarray) -> RGB:
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
