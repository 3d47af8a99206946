"""Small classes whose labels are right, some of which a change of the picture turns into each other. All seeded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.datasets import load_digits

from tasks.contracts.images import Undecodable, decode
from tasks.ingest.demo import make_demo

SIDE_PX = 64
_FINE = 4  # drawn so many times larger, then reduced
_FONTS = Path("/usr/share/fonts/truetype/dejavu")
_UNCLEAN = ("wrong_label", "duplicate_across_classes", "duplicate", "dark", "text", "truncated")

Image8 = NDArray[np.uint8]
Draw = Callable[[np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Pictures:
    """Images (n, SIDE_PX, SIDE_PX, 3) and their labels."""

    name: str
    pixels: Image8
    labels: tuple[str, ...]


def arrows(each: int, seed: int) -> Pictures:
    """Right and left, anywhere, in any colour, tilted by up to 8 degrees."""
    return _drawn("arrows", {"left": lambda rng: _arrow(rng, -1), "right": lambda rng: _arrow(rng, 1)}, each, seed)


def digits_by_font(each: int, seed: int) -> Pictures:
    """0, 6, 8 and 9 in the fonts that there are."""
    return _letters("digits by font", "0689", each, seed)


def letters_by_font(each: int, seed: int) -> Pictures:
    """b, d, p and q in the fonts that there are."""
    return _letters("letters by font", "bdpq", each, seed)


def shapes(each: int, seed: int) -> Pictures:
    """Discs, squares and triangles."""
    kinds = {"disc": 0, "square": 4, "triangle": 3}
    draws: dict[str, Draw] = {name: lambda rng, n=corners: _polygon(rng, n) for name, corners in kinds.items()}
    return _drawn("shapes", draws, each, seed)


def fruit(each: int, seed: int) -> Pictures:
    """Shaded balls, alike but for their hue: red, yellow, green and blue."""
    hues = {"red": 0, "yellow": 42, "green": 85, "blue": 170}  # of 255
    return _drawn("fruit", {name: lambda rng, h=hue: _ball(rng, h) for name, hue in hues.items()}, each, seed)


def handwriting(each: int, seed: int) -> Pictures:
    """scikit-learn's handwritten digits, enlarged; a random `each` of every digit."""
    bunch, rng = load_digits(), np.random.default_rng(seed)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(bunch.target == d))[:each] for d in range(10)])
    pictures = [Image.fromarray((bunch.images[i] * 255 / 16).astype(np.uint8)) for i in chosen]
    stack = np.stack([np.asarray(one.resize((SIDE_PX, SIDE_PX)).convert("RGB")) for one in pictures])
    return Pictures("handwriting", stack, tuple(str(bunch.target[i]) for i in chosen))


def demo(each: int, seed: int) -> Pictures:
    """The train crops of the demo, but for the flaws planted in it; at most `each` of a class."""
    with TemporaryDirectory() as folder:
        make_demo(Path(folder), seed=seed)
        table = pd.read_csv(Path(folder, "metadata.csv"))
        sound = table[~table["planted"].isin(_UNCLEAN) & (table["split"] == "train")]
        pixels, labels = [], []
        for path in sound["path"]:
            try:
                pixels.append(decode(Path(folder, path).read_bytes(), SIDE_PX).pixels)
            except Undecodable:
                continue
            labels.append(path.split("/")[0])
    places = pd.Series(labels).groupby(labels).cumcount()
    kept = np.flatnonzero((places < each).to_numpy())
    return Pictures("demo", np.stack(pixels)[kept], tuple(labels[i] for i in kept))


def _drawn(name: str, draws: dict[str, Draw], each: int, seed: int) -> Pictures:
    pixels, labels = [], []
    for number, (label, draw) in enumerate(sorted(draws.items())):
        rng = np.random.default_rng([seed, number])
        for _ in range(each):
            small = np.asarray(draw(rng).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS), np.float64)
            pixels.append((small + rng.normal(0, 4, small.shape)).clip(0, 255).astype(np.uint8))
            labels.append(label)
    return Pictures(name, np.stack(pixels), tuple(labels))


def _canvas(rng: np.random.Generator) -> tuple[Image.Image, tuple[int, ...]]:
    """A plain ground, light or dark, and an ink that stands out from it."""
    dark, light = rng.integers(0, 90, 3), rng.integers(160, 256, 3)
    ground, ink = (dark, light) if rng.random() < 0.5 else (light, dark)
    size = SIDE_PX * _FINE
    return Image.new("RGB", (size, size), tuple(int(v) for v in ground)), tuple(int(v) for v in ink)


def _arrow(rng: np.random.Generator, direction: int) -> Image.Image:
    picture, ink = _canvas(rng)
    length, head, thick = rng.uniform(22, 42), rng.uniform(9, 16), rng.uniform(2.5, 6)
    points = np.array(
        [(-1, thick), (0.2, thick), (0.2, head), (1, 0), (0.2, -head), (0.2, -thick), (-1, -thick)], np.float64
    )
    points[:, 0] *= length / 2 * direction
    return _placed(picture, points, ink, rng, 8)


def _polygon(rng: np.random.Generator, corners: int) -> Image.Image:
    picture, ink = _canvas(rng)
    count, radius = corners or 60, rng.uniform(12, 24)
    angles = np.arange(count) * 2 * np.pi / count - np.pi / 2 + (np.pi / 4 if corners == 4 else 0)
    return _placed(picture, radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), ink, rng, 10)


def _placed(
    picture: Image.Image, points: NDArray[np.float64], ink: tuple[int, ...], rng: np.random.Generator, tilt: float
) -> Image.Image:
    angle = np.radians(rng.uniform(-tilt, tilt))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    room = max(0.0, SIDE_PX / 2 - np.abs(points).max() - 2)
    middle = SIDE_PX / 2 + rng.uniform(-room, room, 2)
    ImageDraw.Draw(picture).polygon([tuple(p) for p in (points @ turn.T + middle) * _FINE], fill=ink)
    return picture


def _letters(name: str, letters: str, each: int, seed: int) -> Pictures:
    fonts = sorted(_FONTS.glob("*.ttf"))
    fonts = [font for font in fonts if "Math" not in font.name]
    if not fonts:
        raise SystemExit(f"{_FONTS} holds no fonts; install DejaVu")
    draws: dict[str, Draw] = {letter: lambda rng, one=letter: _letter(rng, one, fonts) for letter in letters}
    return _drawn(name, draws, each, seed)


def _letter(rng: np.random.Generator, letter: str, fonts: list[Path]) -> Image.Image:
    picture, ink = _canvas(rng)
    font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), int(rng.uniform(32, 50) * _FINE))
    middle = tuple((SIDE_PX / 2 + rng.uniform(-6, 6, 2)) * _FINE)
    ImageDraw.Draw(picture).text(middle, letter, ink, font, anchor="mm")
    ground = picture.getpixel((0, 0))
    return picture.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=ground)


def _ball(rng: np.random.Generator, hue: int) -> Image.Image:
    size = SIDE_PX * _FINE
    grey = int(rng.integers(60, 200))
    picture = Image.new("RGB", (size, size), (grey, grey, grey))
    radius, middle = rng.uniform(14, 26) * _FINE, (SIDE_PX / 2 + rng.uniform(-5, 5, 2)) * _FINE
    y, x = np.mgrid[:size, :size]
    inside = np.hypot(x - middle[0], y - middle[1]) < radius
    light = 1 - np.hypot(x - middle[0] + radius / 3, y - middle[1] + radius / 3) / radius / 2
    hsv = np.zeros((size, size, 3))
    hsv[..., 0] = (hue + rng.normal(0, 5)) % 256
    hsv[..., 1] = rng.uniform(150, 240)
    hsv[..., 2] = np.clip(light, 0.15, 1) * rng.uniform(170, 255)
    ball = Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB")
    picture.paste(ball, mask=Image.fromarray((inside * 255).astype(np.uint8)))
    return picture.filter(ImageFilter.GaussianBlur(2))
