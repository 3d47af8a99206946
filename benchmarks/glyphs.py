"""Image sets of rendered glyphs, with the fonts that graft's own packages ship: letters, letters on photographs, faces.

Of letters the test fonts are of other families than the training fonts; of typefaces the test words are of other
letters than the training words.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.panel import SIDE_PX, Pool, Problem, split
from tasks.ingest.crops import PHOTOGRAPHS
from tasks.ingest.demo import open_photograph

Mask = NDArray[np.uint8]
Font = Callable[[str], Mask]  # a text as white on black, cropped

_DRAWN_PX = 64  # glyphs are drawn so large, then reduced
_OF_CLASS = {False: 120, True: 60}  # images to train on, and to test
_LETTERS = "AEGKRS"
_SIGNS = "BHNPTZ"
_EARLY, _LATE = "abcdefghijklm", "nopqrstuvwxyz"


def letters() -> Problem:
    """Which letter: one colour on another, turned a little; test fonts of families that training has not."""
    return _of_letters("letters", _LETTERS, lambda _is_test, rng: _plain(rng))


def signs() -> Problem:
    """Which letter on a photograph: test fonts of other families, and grounds of other photographs."""
    return _of_letters("signs", _SIGNS, _photographic)


def typefaces() -> Problem:
    """Which of six typefaces a word is set in; training words are of the letters a to m, test words of n to z."""
    fonts = [_grotesk("Regular"), _grotesk("Bold"), _grotesk("Italic"), _geist("Mono", 400)]
    fonts += [_hershey(cv2.FONT_HERSHEY_COMPLEX, 1), _hershey(cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 2)]
    rng = np.random.default_rng(len(fonts))
    found = [
        (_inked(_placed(font(_word(is_test, rng)), (0.4, 0.55), rng), _plain(rng), rng), target, is_test)
        for is_test, count in _OF_CLASS.items()
        for target, font in enumerate(fonts)
        for _ in range(count)
    ]
    return _problem("typefaces", found)


def _of_letters(name: str, alphabet: str, ground: Callable[[bool, np.random.Generator], Image.Image]) -> Problem:
    rng = np.random.default_rng(len(name))
    found = []
    for is_test, count in _OF_CLASS.items():
        fonts = _test_fonts() if is_test else _train_fonts()
        for target, letter in enumerate(alphabet):
            for number in range(count):
                mask = _placed(fonts[number % len(fonts)](letter), (0.45, 0.7), rng)
                found.append((_inked(mask, ground(is_test, rng), rng), target, is_test))
    return _problem(name, found)


def _problem(name: str, found: Sequence[tuple[NDArray[np.uint8], int, bool]]) -> Problem:
    pixels, targets, is_test = zip(*found, strict=True)
    return split(name, Pool(np.stack(pixels), np.array(targets, np.int64)), np.array(is_test))


@cache
def _train_fonts() -> tuple[Font, ...]:
    styles = ("Light", "Regular", "SemiBold", "Bold", "LightItalic", "BoldItalic")
    sans = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX)
    return (*map(_grotesk, styles), *(_hershey(face, thickness) for face in sans for thickness in (1, 3)))


@cache
def _test_fonts() -> tuple[Font, ...]:
    serif = (cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
    geist = (_geist(kind, weight) for kind in ("", "Mono") for weight in (200, 500, 900))
    return (*geist, partial(_drawn, ImageFont.load_default(_DRAWN_PX)), *(_hershey(face, 2) for face in serif))


def _grotesk(style: str) -> Font:
    folder = "render/view/static/fonts/HKGrotesk"
    path = _in_package("great_expectations", f"{folder}/HKGrotesk-{style}.otf")
    return partial(_drawn, ImageFont.truetype(path, _DRAWN_PX))


def _geist(kind: str, weight: int) -> Font:
    path = _in_package("prefect", f"server/ui-v2/fonts/Geist{kind}-VariableFont_wght.ttf")
    font = ImageFont.truetype(path, _DRAWN_PX)
    font.set_variation_by_axes([weight])
    return partial(_drawn, font)


def _hershey(face: int, thickness: int) -> Font:
    """A font that OpenCV draws as strokes."""

    def drawn(text: str) -> Mask:
        canvas = np.zeros((3 * _DRAWN_PX, 2 * _DRAWN_PX * (len(text) + 1)), np.uint8)
        cv2.putText(canvas, text, (_DRAWN_PX, 2 * _DRAWN_PX), face, 2.0, 255, 2 * thickness, cv2.LINE_AA)
        return _cropped(canvas)

    return drawn


def _in_package(package: str, file: str) -> str:
    spec = find_spec(package)
    return str(Path(next(iter((spec and spec.submodule_search_locations) or ["?"]))) / file)


def _drawn(font: ImageFont.FreeTypeFont, text: str) -> Mask:
    canvas = Image.new("L", (2 * _DRAWN_PX * (len(text) + 1), 3 * _DRAWN_PX))
    ImageDraw.Draw(canvas).text((_DRAWN_PX, _DRAWN_PX // 2), text, 255, font)
    return _cropped(np.asarray(canvas))


def _cropped(canvas: Mask) -> Mask:
    rows, columns = (np.flatnonzero(canvas.max(axis=axis)) for axis in (1, 0))
    return canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _word(is_test: bool, rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(_LATE if is_test else _EARLY), 3))


def _placed(mask: Mask, sizes: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float32]:
    """The text somewhere in the image, its diagonal `sizes` of the image's, turned by at most 12 degrees."""
    height, width = mask.shape
    zoom = rng.uniform(*sizes) * SIDE_PX * 2**0.5 / np.hypot(height, width)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-12, 12), zoom)
    turn[:, 2] += SIDE_PX / 2 - np.array([width, height]) / 2 + rng.uniform(-5, 5, 2)
    smooth = cv2.GaussianBlur(mask, (0, 0), max(0.4 / zoom, 0.1))  # else thin strokes break where they are reduced
    return cv2.warpAffine(smooth, turn, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR).astype(np.float32) / 255


def _inked(mask: NDArray[np.float32], ground: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The text in one colour, lighter or darker than the mean of its ground by a third of the tones at least."""
    pixels = np.asarray(ground, np.float32)
    middle = float(pixels.mean())
    lighter = middle < 85 or (middle < 170 and rng.random() < 0.5)
    tone = rng.uniform(middle + 85, 255) if lighter else rng.uniform(0, middle - 85)
    colour = np.clip(tone + rng.uniform(-30, 30, 3), 0, 255)
    share = mask[..., None]
    return (pixels * (1 - share) + colour * share).astype(np.uint8)


def _plain(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(int(tone) for tone in rng.integers(0, 256, 3)))


def _photographic(is_test: bool, rng: np.random.Generator) -> Image.Image:
    photograph = PHOTOGRAPHS[2 * int(rng.integers(len(PHOTOGRAPHS) // 2)) + is_test]
    left, top, width, height = photograph.box
    size = int(rng.integers(SIDE_PX, 3 * SIDE_PX))
    x, y = left + int(rng.integers(width - size)), top + int(rng.integers(height - size))
    return _opened(photograph.label).resize((SIDE_PX, SIDE_PX), box=(x, y, x + size, y + size))


@cache
def _opened(label: str) -> Image.Image:
    return open_photograph(next(one for one in PHOTOGRAPHS if one.label == label))
