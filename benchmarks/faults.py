"""Pictures with a known fault among good and difficult ones, as files on disk, and the truth about each."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.hard import HARD, any_scene, noisy, qr_code, smear, text_page
from benchmarks.scenes import LONG_PX, RGB, SHORT_PX

CLASSES = ("east", "north", "south", "west")  # of the scenes; the hard pictures have classes of their own
_PNG = 0.25  # share of the files; the others are JPEGs of quality 70 to 95
# what may be said of a picture with this fault besides: true as well, so neither counted for nor against a check
ALSO = {
    "dark": "low_contrast low_information blurry greyscale heavy_compression",
    "bright": "low_contrast low_information blurry greyscale heavy_compression",
    "low_contrast": "low_information blurry greyscale",
    "low_information": "dark bright low_contrast blurry greyscale outlier",
    "blurry": "low_information outlier",
    "odd_size": "odd_aspect blurry",
    "odd_aspect": "odd_size outlier",
    "greyscale": "outlier",
    "has_border": "odd_aspect",
    "heavy_compression": "",
    "outlier": "greyscale low_information",
}


@dataclass(frozen=True)
class Plan:
    """How many pictures: `scenes` good ones, `hard` of each hard kind, `each` of every fault."""

    scenes: int = 1000
    hard: int = 24
    each: int = 40


@dataclass(frozen=True)
class Planted:
    """One picture before it is a file; `quality` is that of the JPEG it becomes, 0 for PNG and None for either."""

    label: str
    picture: RGB
    fault: str = ""
    kind: str = ""
    quality: int | None = None


def plant(folder: Path, seed: int, plan: Plan) -> pd.DataFrame:
    """Write class folders into `folder`. One row a file: path, label, fault (empty for none), kind and also.

    `also` lists the reasons that may be given besides. Without faults (`Plan(each=0)`) it is the null twin.
    """
    rows = []
    for number, one in enumerate(_pictures(seed, plan)):
        rng = np.random.default_rng([seed, number, 1])
        data, suffix = _encoded(one, rng)
        path = f"{one.label}/{number:05}.{suffix}"
        (folder / one.label).mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        rows.append((path, one.label, one.fault, one.kind, tuple(ALSO.get(one.fault, "").split())))
    return pd.DataFrame(rows, columns=["path", "label", "fault", "kind", "also"])


def _pictures(seed: int, plan: Plan) -> Iterator[Planted]:
    for number in range(plan.scenes):
        yield Planted(CLASSES[number % len(CLASSES)], any_scene(np.random.default_rng([seed, number, 2])), kind="scene")
    for label, kinds in HARD.items():
        for kind, draw in kinds.items():
            for number in range(plan.hard):
                yield Planted(label, draw(np.random.default_rng([seed, number, 3, *kind.encode()])), kind=kind)
    for fault, kinds_of in FAULTS.items():
        for number in range(plan.each):
            rng = np.random.default_rng([seed, number, 4, *fault.encode()])
            kind = list(kinds_of)[number % len(kinds_of)]
            spoilt = kinds_of[kind](any_scene(rng), rng)
            label, quality = CLASSES[number % len(CLASSES)], None
            if fault == "heavy_compression":
                quality = int(rng.integers(3, 11)) if kind == "jpeg" else 0
            yield Planted(label, spoilt, fault, kind, quality)


def _encoded(one: Planted, rng: np.random.Generator) -> tuple[bytes, str]:
    quality = one.quality if one.quality is not None else int(rng.integers(70, 96)) * (rng.random() >= _PNG)
    buffer = io.BytesIO()
    if quality:
        Image.fromarray(one.picture).save(buffer, "JPEG", quality=quality)
    else:
        Image.fromarray(one.picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), "jpg" if quality else "png"


def _dark(picture: RGB, rng: np.random.Generator) -> RGB:
    return noisy(picture * np.float32(rng.uniform(0.02, 0.14)), rng, 2)


def _bright(picture: RGB, rng: np.random.Generator) -> RGB:
    return noisy(255 - (255 - picture.astype(np.float32)) * np.float32(rng.uniform(0.01, 0.12)), rng, 2)


def _low_contrast(picture: RGB, rng: np.random.Generator) -> RGB:
    span = np.float32(rng.uniform(0.02, 0.07))
    return noisy((picture - np.float32(127)) * span + np.float32(rng.uniform(70, 190)), rng, 1)


def _flat(picture: RGB, rng: np.random.Generator) -> RGB:
    tone = np.full(picture.shape, rng.uniform(0, 255, 3), np.float32)
    return noisy(tone, rng, 3)


def _vignette(picture: RGB, rng: np.random.Generator) -> RGB:
    wall = np.full(picture.shape, rng.uniform(60, 220, 3), np.float32)
    slow = cv2.resize(rng.standard_normal((2, 3), np.float32), picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return noisy(wall + slow[..., None] * np.float32(rng.uniform(1, 5)), rng, 2)


def _black_or_white(picture: RGB, rng: np.random.Generator) -> RGB:
    return np.full(picture.shape, rng.choice((0, 255)), np.uint8)


def _out_of_focus(picture: RGB, rng: np.random.Generator) -> RGB:
    return noisy(cv2.GaussianBlur(picture, (0, 0), rng.uniform(3.5, 8)), rng, 2.5)


def _disc(picture: RGB, rng: np.random.Generator) -> RGB:
    side = int(rng.integers(6, 14)) * 2 + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.float32)
    return noisy(cv2.filter2D(picture, -1, disc / disc.sum()), rng, 2.5)


def _motion(picture: RGB, rng: np.random.Generator) -> RGB:
    return noisy(smear(picture, rng, rng.uniform(18, 45)), rng, 2.5)


def _tiny(picture: RGB, rng: np.random.Generator) -> RGB:
    return _scaled(picture, rng.uniform(20, 60) / min(picture.shape[:2]))


def _huge(picture: RGB, rng: np.random.Generator) -> RGB:
    return _scaled(picture, rng.uniform(1700, 2600) / min(picture.shape[:2]))


def _scaled(picture: RGB, factor: float) -> RGB:
    size = tuple(round(side * factor) for side in picture.shape[1::-1])
    scaled: RGB = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    return scaled


def _strip(picture: RGB, rng: np.random.Generator) -> RGB:
    long = max(picture.shape[:2])
    short = int(long / rng.uniform(4.5, 12))
    strip = picture[:short] if picture.shape[1] == long else picture[:, :short]
    return np.ascontiguousarray(strip)


def _squeezed(picture: RGB, rng: np.random.Generator) -> RGB:
    long, aspect = min(picture.shape[:2]), rng.uniform(4.5, 10)
    size = (long, int(long / aspect)) if rng.random() < 0.5 else (int(long / aspect), long)
    squeezed: RGB = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return squeezed


def _grey(picture: RGB, _rng: np.random.Generator) -> RGB:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def _grey_as_rgb(picture: RGB, rng: np.random.Generator) -> RGB:
    return np.repeat(_grey(picture, rng)[..., None], 3, axis=2)


def _framed(picture: RGB, rng: np.random.Generator, sides: str, tones: tuple[int, int]) -> RGB:
    height, width = picture.shape[:2]
    across = round(width * rng.uniform(0.04, 0.2)) if "x" in sides else 0
    down = round(height * rng.uniform(0.04, 0.2)) if "y" in sides else 0
    tone = [int(rng.integers(*tones))] * 3
    return cv2.copyMakeBorder(picture, down, down, across, across, cv2.BORDER_CONSTANT, value=tone)


def _letterbox(picture: RGB, rng: np.random.Generator) -> RGB:
    return _framed(picture, rng, str(rng.choice(("x", "y"))), (0, 18))


def _coloured_frame(picture: RGB, rng: np.random.Generator) -> RGB:
    return _framed(picture, rng, "xy", (0, 256))


def _scanned(picture: RGB, rng: np.random.Generator) -> RGB:
    return noisy(_framed(picture, rng, "xy", (225, 256)), rng, 3)


def _jpeg(picture: RGB, _rng: np.random.Generator) -> RGB:
    return picture


def _once_jpeg(picture: RGB, rng: np.random.Generator) -> RGB:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=int(rng.integers(3, 11)))
    return np.asarray(Image.open(buffer))


def _static(picture: RGB, rng: np.random.Generator) -> RGB:
    return rng.integers(0, 256, picture.shape, np.uint8)


def _chart(picture: RGB, rng: np.random.Generator) -> RGB:
    paper = np.full(picture.shape, 255, np.uint8)
    height, width = picture.shape[:2]
    for x in range(40, width - 40, 50):
        colour = rng.choice(((31, 119, 180), (255, 127, 14), (44, 160, 44))).tolist()
        cv2.rectangle(paper, (x, height - 30 - int(rng.integers(20, height - 80))), (x + 34, height - 30), colour, -1)
    return paper


def _rings(picture: RGB, rng: np.random.Generator) -> RGB:
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    wave = np.sin(np.hypot(y - rng.uniform(0, SHORT_PX), x - rng.uniform(0, LONG_PX)) / rng.uniform(1.5, 4))
    return ((wave[..., None] > 0) * np.array(rng.choice(((0, 255, 0), (255, 0, 255)))) % 256).astype(np.uint8)


Spoil = Callable[[RGB, np.random.Generator], RGB]
FAULTS: dict[str, dict[str, Spoil]] = {  # reason -> its kinds
    "dark": {"underexposed": _dark},
    "bright": {"overexposed": _bright},
    "low_contrast": {"flat_tones": _low_contrast},
    "low_information": {"flat": _flat, "vignette": _vignette, "black_or_white": _black_or_white},
    "blurry": {"gaussian": _out_of_focus, "disc": _disc, "motion": _motion},
    "odd_size": {"tiny": _tiny, "huge": _huge},
    "odd_aspect": {"strip": _strip, "squeezed": _squeezed},
    "greyscale": {"one_channel": _grey, "three_channels": _grey_as_rgb},
    "has_border": {"letterbox": _letterbox, "frame": _coloured_frame, "scan": _scanned},
    "heavy_compression": {"jpeg": _jpeg, "png_of_jpeg": _once_jpeg},
    "outlier": {
        "text": lambda _picture, rng: text_page(rng),
        "code": lambda _picture, rng: qr_code(rng),
        "static": _static,
        "chart": _chart,
        "rings": _rings,
    },
}
