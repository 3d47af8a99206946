"""Twelve common corruptions of pictures at five severities, after Hendrycks and Dietterich, 2019.

Written anew in NumPy and OpenCV, for `imagecorruptions` draws from NumPy's global generator and no longer imports.
The strengths are those that the authors published for pictures of 224 px (ImageNet-C) and of 32 px (CIFAR-10-C);
between these sides they are interpolated geometrically, so that a severity means about the same for every picture.
Beyond 224 px lengths go on growing with the side, everything else stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.prepared import Pixels
from tasks.evaluate.scramble import compressed

SEVERITIES = (1, 2, 3, 4, 5)
_SMALL_PX, _LARGE_PX = 32, 224
_ZOOMS, _OCTAVES = 11, 6

Floats = NDArray[np.float32]  # (side, side, 3), in [0, 1]
Strength = Mapping[str, float]
Ladder = tuple[tuple[float, ...], tuple[float, ...]]  # at 32 px, at 224 px, each from severity 1 to 5


@dataclass(frozen=True)
class Kind:
    """One corruption: its family, what it does, and how strongly; `lengths` are strengths that are distances in px."""

    family: str
    apply: Callable[[Floats, Strength, np.random.Generator], Floats]
    ladders: Mapping[str, Ladder]
    lengths: frozenset[str] = frozenset()

    def strength(self, severity: int, side_px: int) -> Strength:
        """Of a severity from 1 to 5 for pictures of `side_px`."""
        at = log(side_px / _SMALL_PX) / log(_LARGE_PX / _SMALL_PX)
        found = {}
        for name, (small, large) in self.ladders.items():
            place = max(0.0, at) if name in self.lengths else min(1.0, max(0.0, at))
            found[name] = small[severity - 1] ** (1 - place) * large[severity - 1] ** place
        return found


def corrupt(pixels: Pixels, name: str, severity: int, seeds: Sequence[Sequence[int]]) -> Pixels:
    """`pixels` (n, side, side, 3), uint8, under the corruption `name` of KINDS; `seeds` has one seed for each picture.

    Equal seeds give the same noise at every severity, only stronger.
    """
    kind, out = KINDS[name], np.empty_like(pixels)
    strength = kind.strength(severity, pixels.shape[1])
    for place, image, seed in zip(out, pixels, seeds, strict=True):
        changed = kind.apply(image.astype(np.float32) / 255, strength, np.random.default_rng(seed))
        place[:] = np.rint(changed.clip(0, 1) * 255)
    return out


def _gaussian_noise(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:
    noise: Floats = rng.standard_normal(image.shape, np.float32)
    return image + np.float32(strength["deviation"]) * noise


def _shot_noise(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:
    white = strength["photons"]
    found: Floats = (rng.poisson(image * white) / white).astype(np.float32)
    return found


def _impulse_noise(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:
    drawn = rng.random(image.shape, np.float32)
    half = strength["share"] / 2
    found: Floats = np.where(drawn < half, 0.0, np.where(drawn > 1 - half, 1.0, image)).astype(np.float32)
    return found


def _defocus_blur(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    radius = strength["radius"]
    reach = int(np.ceil(radius)) + 3
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (radius + 0.5 - np.hypot(x, y)).clip(0, 1).astype(np.float32)
    return _filtered(image, cv2.GaussianBlur(disc / disc.sum(), (0, 0), strength["softness"]))


def _motion_blur(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:
    return _smeared(image, strength["radius"], strength["deviation"], rng.uniform(-45, 45))


def _zoom_blur(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    layers = [_zoomed(image, zoom) for zoom in np.linspace(1, strength["zoom"], _ZOOMS)]
    mean: Floats = np.mean([image, *layers], axis=0, dtype=np.float32)
    return mean


def _fog(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:
    """Clouds are octaves of noise, each twice as fine as the one before and `decay` times as weak."""
    size, clouds = image.shape[1::-1], np.zeros(image.shape[:2], np.float32)
    for octave in range(_OCTAVES):
        noise = rng.random((2 ** (octave + 1),) * 2, np.float32)
        clouds += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC) / np.float32(strength["decay"] ** octave)
    clouds = (clouds - clouds.min()) / max(float(np.ptp(clouds)), 1e-6)
    amount, most = np.float32(strength["amount"]), max(float(image.max()), 1e-6)
    found: Floats = (image + amount * clouds[..., None]) * np.float32(most / (most + amount))
    return found


def _snow(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:
    flakes = np.float32(strength["mean"]) + np.float32(strength["deviation"]) * rng.standard_normal(
        image.shape[:2], np.float32
    )
    flakes = _zoomed(flakes, strength["size"])
    flakes = np.where(flakes < strength["least"], 0.0, flakes).clip(0, 1).astype(np.float32)
    fallen = _smeared(flakes, strength["radius"], strength["smear"], rng.uniform(-135, -45))[..., None]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    kept = np.float32(strength["kept"])
    pale = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5)
    return np.asarray(pale + fallen + np.rot90(fallen, 2), np.float32)


def _brightness(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = (hsv[..., 2] + strength["more"]).clip(0, 1)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)


def _contrast(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    mean = image.mean(axis=(0, 1), keepdims=True)
    found: Floats = (image - mean) * np.float32(strength["kept"]) + mean
    return found


def _pixelate(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    size = image.shape[1::-1]
    few = tuple(max(1, int(side * strength["kept"])) for side in size)
    small = cv2.resize(image, few, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


def _jpeg(image: Floats, strength: Strength, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    packed = compressed(np.rint(image * 255).astype(np.uint8), round(strength["quality"]))
    return np.asarray(packed / np.float32(255), np.float32)


def _filtered(image: Floats, kernel: Floats) -> Floats:
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def _smeared(image: Floats, radius: float, deviation: float, angle_degrees: float) -> Floats:
    """Along a line from each pixel on, the more weakly the farther: half a Gaussian."""
    steps = np.arange(0, 2 * radius + 1, 0.5)
    reach = int(np.ceil(steps[-1])) + 1
    kernel = np.zeros((2 * reach + 1,) * 2, np.float32)
    angle = np.deg2rad(angle_degrees)
    places = np.rint([reach + steps * np.sin(angle), reach + steps * np.cos(angle)]).astype(np.int64)
    np.add.at(kernel, tuple(places), np.exp(-(steps**2) / (2 * deviation**2)).astype(np.float32))
    return _filtered(image, kernel / kernel.sum())


def _zoomed(image: Floats, zoom: float) -> Floats:
    """The middle of the picture, enlarged to its size."""
    height, width = image.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    turn = cv2.getRotationMatrix2D(middle, 0, float(zoom))
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.float32)


KINDS: dict[str, Kind] = {
    "gaussian noise": Kind(
        "noise", _gaussian_noise, {"deviation": ((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))}
    ),
    "shot noise": Kind("noise", _shot_noise, {"photons": ((500, 250, 100, 75, 50), (60, 25, 12, 5, 3))}),
    "impulse noise": Kind(
        "noise", _impulse_noise, {"share": ((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27))}
    ),
    "defocus blur": Kind(
        "blur",
        _defocus_blur,
        {
            "radius": ((0.3, 0.4, 0.5, 1, 1.5), (3, 4, 6, 8, 10)),
            "softness": ((0.4, 0.5, 0.6, 0.2, 0.1), (0.1,) + (0.5,) * 4),
        },
        frozenset({"radius"}),
    ),
    "motion blur": Kind(
        "blur",
        _motion_blur,
        {"radius": ((6, 6, 6, 8, 9), (10, 15, 15, 15, 20)), "deviation": ((1, 1.5, 2, 2, 2.5), (3, 5, 8, 12, 15))},
        frozenset({"radius", "deviation"}),
    ),
    "zoom blur": Kind("blur", _zoom_blur, {"zoom": ((1.05, 1.10, 1.15, 1.20, 1.25), (1.10, 1.15, 1.20, 1.24, 1.30))}),
    "fog": Kind(
        "weather",
        _fog,
        {
            "amount": ((0.2, 0.5, 0.75, 1, 1.5), (1.5, 2, 2.5, 2.5, 3)),
            "decay": ((3, 3, 2.5, 2, 1.75), (2, 2, 1.7, 1.5, 1.4)),
        },
    ),
    "snow": Kind(
        "weather",
        _snow,
        {
            "mean": ((0.1, 0.1, 0.15, 0.25, 0.3), (0.1, 0.2, 0.55, 0.55, 0.55)),
            "deviation": ((0.2, 0.2, 0.3, 0.3, 0.3), (0.3,) * 5),
            "size": ((1, 1, 1.75, 2.25, 1.25), (3, 2, 4, 4.5, 2.5)),
            "least": ((0.6, 0.5, 0.55, 0.6, 0.65), (0.5, 0.5, 0.9, 0.85, 0.85)),
            "radius": ((8, 10, 10, 12, 14), (10, 12, 12, 12, 12)),
            "smear": ((3, 4, 4, 6, 12), (4, 4, 8, 8, 12)),
            "kept": ((0.95, 0.9, 0.9, 0.85, 0.8), (0.8, 0.7, 0.7, 0.65, 0.55)),
        },
        frozenset({"radius", "smear"}),
    ),
    "brightness": Kind("weather", _brightness, {"more": ((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5))}),
    "contrast": Kind("digital", _contrast, {"kept": ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))}),
    "pixelate": Kind("digital", _pixelate, {"kept": ((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))}),
    "jpeg": Kind("digital", _jpeg, {"quality": ((80, 65, 58, 50, 40), (25, 18, 15, 10, 7))}),
}
