"""Trivial features: numbers of a file or a picture from which nobody can know what the picture shows.

They are of two sorts. What a container is like (size, compression, header, border) is never a property of the subject.
Tones and sharpness may be: grass is green. Both can be learned instead of the subject; only the first are always wrong.
"""

import functools
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.images import PIXELS_VERSION
from tasks.contracts.prepared import Pixels

Floats = NDArray[np.float64]
Kind = Literal["border", "size", "header", "compression", "tone", "sharpness"]

CODE = 1  # raised when a number of a picture changes
TILES = 4  # along each side, whose mean colours are features
_SIDE_PX = 64
_CORNER_PX = 16
_RIM_PX = 4
_AT_ONCE = 32
_CHANNELS = ("red", "green", "blue")
_CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_NEVER_COMPRESSED = 101.0  # as the JPEG quality of a file that is no JPEG: beyond the best
_COLUMNS: dict[str, Kind] = {  # of the checked table, the one that explains most first
    "border": "border",
    "width": "size",
    "height": "size",
    "jpeg_quality": "compression",
    "blockiness": "compression",
    "bytes": "compression",
    "luminance_median": "tone",
    "contrast": "tone",
    "colour": "tone",
    "sharpness": "sharpness",
    "sharpness_least": "sharpness",
    "texture": "sharpness",
}
_LEVELS = {"format": "format", "mode": "mode"}  # columns of few values: each value is a feature, 0 or 1
_MAY_BE_SUBJECT = ("bytes", "bytes_per_pixel")  # a detailed picture is large however it was compressed


def trivial_features(images: pd.DataFrame, pixels: Pixels, cache: Path | None = None) -> dict[str, Floats]:
    """Per image of `images` (columns `pixels`, `width`, `height`, and those of the scan that are there): name -> (n,).

    A value that is missing counts as the median, so that it speaks for no class. Constant features are left out. Where
    there is a workspace's `cache`, what is known of a picture by its `sha256` is not measured again.
    """
    table = _of_the_file(images)
    rows = images["pixels"].to_numpy(np.int64)
    if cache is None:
        values = _measured(pixels, rows)
    else:
        from tasks.backbone.cache import FOLDER, remembered  # brings torch

        key = f"trivial features {CODE}, {pixels.shape[1]} px {PIXELS_VERSION}, cv2 {cv2.__version__}"
        names = images["sha256"].tolist()
        values = remembered(cache / FOLDER, key, names, lambda at: _measured(pixels, rows[at]))
    table |= zip(_names(), values.T, strict=True)
    return {name: values for name, values in table.items() if len(values) and np.ptp(values) > 0}


def kind_of(feature: str) -> Kind:
    """What sort of trait a feature is."""
    if feature in ("aspect", "bytes_per_pixel"):
        return "size" if feature == "aspect" else "compression"
    if feature.startswith(("format ", "mode ", "EXIF ")):
        return "header"
    if feature in _COLUMNS:
        return _COLUMNS[feature]
    return "sharpness" if feature == "noise" or feature.endswith("_edges") else "tone"


def is_container(feature: str) -> bool:
    """Whether it is never a property of what the picture shows."""
    return kind_of(feature) not in ("tone", "sharpness") and feature not in _MAY_BE_SUBJECT


def _of_the_file(images: pd.DataFrame) -> dict[str, Floats]:
    table = {name: _numbers(images[name], name) for name in _COLUMNS if name in images}
    if {"width", "height"} <= table.keys():
        table["aspect"] = table["width"] / table["height"]
    if {"bytes", "width", "height"} <= table.keys():
        table["bytes_per_pixel"] = table["bytes"] / (table["width"] * table["height"])
    for column, word in _LEVELS.items():
        if column in images:
            values = images[column].astype("object").fillna("none").astype(str)
            table |= {f"{word} {one}": (values == one).to_numpy(np.float64) for one in sorted(values.unique())}
    if "camera" in images:
        table["EXIF camera"] = images["camera"].notna().to_numpy().astype(np.float64)
    if "has_location" in images:
        table["EXIF location"] = images["has_location"].fillna(False).to_numpy().astype(np.float64)
    return table


def _numbers(column: pd.Series, name: str) -> Floats:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[np.isfinite(values)]
    middle = float(np.median(known)) if len(known) else 0.0
    filled: Floats = np.where(np.isfinite(values), values, _NEVER_COMPRESSED if name == "jpeg_quality" else middle)
    return filled


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(_of_the_pictures(np.zeros((1, _SIDE_PX, _SIDE_PX, 3), np.uint8), np.zeros(1, np.int64)))


def _measured(pixels: Pixels, rows: NDArray[np.int64]) -> Floats:
    """The numbers of the pictures in these rows, (n, names). Each piece is filled up: no number depends on others."""
    out = np.empty((len(rows), len(_names())))
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        found = _of_the_pictures(pixels, np.resize(some, _AT_ONCE))
        out[start : start + _AT_ONCE] = np.column_stack([*found.values()])[: len(some)]
    return out


def _of_the_pictures(pixels: Pixels, rows: NDArray[np.int64]) -> dict[str, Floats]:
    """Colours of all of it, of its tiles and of its rim; edges in its corners; noise."""
    size = (_SIDE_PX, _SIDE_PX)
    small = np.stack([cv2.resize(pixels[row], size, interpolation=cv2.INTER_AREA) for row in rows]).astype(np.float32)
    grey = small.mean(axis=3)
    rim = np.ones(size, bool)
    rim[_RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX] = False
    tiles = small.reshape(len(small), TILES, _SIDE_PX // TILES, TILES, _SIDE_PX // TILES, 3).mean(axis=(2, 4))
    means, deviations, of_rim = small.mean(axis=(1, 2)), small.std(axis=(1, 2)), small[:, rim].mean(axis=1)
    out: dict[str, Floats] = {}
    for channel, name in enumerate(_CHANNELS):
        out |= {f"mean_{name}": means[:, channel], f"deviation_{name}": deviations[:, channel]}
        out[f"rim_{name}"] = of_rim[:, channel]
        for row, column in np.ndindex(TILES, TILES):
            out[f"tile_{row + 1}_{column + 1}_{name}"] = tiles[:, row, column, channel]
    red, green, blue = np.log1p(means).T
    out |= {"warmth": red - blue, "tint": green - (red + blue) / 2}  # a white balance, however light the picture
    out["rim_deviation"] = grey[:, rim].std(axis=1)
    edges = np.stack([_edges(one) for one in grey])
    for name, (bottom, right) in _CORNERS.items():
        across, down = (slice(-_CORNER_PX, None) if far else slice(_CORNER_PX) for far in (right, bottom))
        out[f"{name}_edges"] = edges[:, down, across].mean(axis=(1, 2))
    out["noise"] = np.array([_noise(pixels[row]) for row in rows])
    return {name: values.astype(np.float64) for name, values in out.items()}


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    edges: NDArray[np.float32] = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return edges


def _noise(image: Pixels) -> float:
    """The standard deviation of the grain, in levels (J. Immerkaer, "Fast noise variance estimation", 1996)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.filter2D(grey, cv2.CV_32F, _LAPLACIAN)[1:-1, 1:-1]).mean() * np.sqrt(np.pi / 2) / 6)
