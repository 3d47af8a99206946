"""Test images whose shortcut no longer goes with the label: each gets the trait of an image of another class."""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.prepared import Pixels

Ints = NDArray[np.int64]
_QUALITIES = (10, 95)
_SHRINK = (0.3, 1.0)
_ENDS = (("top", "height"), ("left", "width"))


def scrambled(mitigation: Mapping[str, Any], pixels: Pixels, targets: Ints, rng: np.random.Generator) -> Pixels:
    """`pixels` (n, side, side, 3), uint8, with the trait that a mitigation is against given out anew.

    An overlay, a border and a tone come from a random image of another class; compression, size and sharpness are drawn
    for each image. The content stays.
    """
    kind = mitigation["kind"]
    if not len(pixels):
        return pixels
    if kind in _CHANGES:
        return np.stack([_CHANGES[kind](image, rng) for image in pixels])
    others = partners(targets, rng)
    if kind == "tone":
        return np.stack([_toned(image, pixels[other]) for image, other in zip(pixels, others, strict=True)])
    out = pixels.copy()
    for region in _regions(mitigation, pixels.shape[1]):
        out[:, *region] = pixels[others][:, *region]
    return out


def partners(targets: Ints, rng: np.random.Generator) -> Ints:
    """For each image a random one of another class; of its own where there is no other."""
    places = np.arange(len(targets))
    out = np.empty(len(targets), np.int64)
    for label in np.unique(targets):
        own, others = np.flatnonzero(targets == label), places[targets != label]
        out[own] = rng.choice(others if len(others) else own, len(own))
    return out


def _regions(mitigation: Mapping[str, Any], side_px: int) -> list[tuple[slice, ...]]:
    """What the mitigation covers."""
    boxes = (one for one in mitigation["transforms"] if one["transform"] == "Cover")
    return [
        tuple(slice(round(box[start] * side_px), round((box[start] + box[size]) * side_px)) for start, size in _ENDS)
        for box in boxes
    ]


def _toned(image: Pixels, like: Pixels) -> Pixels:
    """`image` with each channel's mean and deviation as in `like` (Reinhard et al., 2001, in RGB)."""
    own, other = image.astype(np.float64), like.astype(np.float64)
    scale = other.std((0, 1)) / np.maximum(own.std((0, 1)), 1.0)
    toned: Pixels = ((own - own.mean((0, 1))) * scale + other.mean((0, 1))).round().clip(0, 255).astype(np.uint8)
    return toned


def _compressed(image: Pixels, rng: np.random.Generator) -> Pixels:
    return compressed(image, int(rng.integers(*_QUALITIES, endpoint=True)))


def compressed(image: Pixels, quality: int) -> Pixels:
    """`image` (side, side, 3), RGB, as a JPEG of `quality` gives it back."""
    packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    unpacked = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(unpacked[..., ::-1])


def _resampled(image: Pixels, rng: np.random.Generator) -> Pixels:
    side = max(2, round(rng.uniform(*_SHRINK) * image.shape[0]))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


_CHANGES: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "compression": _compressed,
    "size": _resampled,
    "sharpness": _resampled,
}
