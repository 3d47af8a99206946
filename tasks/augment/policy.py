"""Augmentation policies: random but label-safe changes of an image, each a function of (pixels, seed) alone.

The only module that imports albumentations.
"""

import hashlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks.augment.records import Augmentation, Transform
from tasks.contracts.environment import prepare_environment
from tasks.contracts.errors import BrokenArtifact, GateRefused
from tasks.contracts.params import AugmentParams
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import read_json
from tasks.contracts.transforms import ALLOWED

# No mirror, no quarter turn and no hue beyond a shade: those change the label of a digit, an arrow, a ripe fruit.
_POLICIES: dict[str, tuple[Transform, ...]] = {
    "none": (),
    "light": (
        {"transform": "Affine", "scale": (0.9, 1.1), "translate_percent": (-0.06, 0.06), "rotate": (-10, 10), "p": 0.8},
        {"transform": "RandomBrightnessContrast", "brightness_limit": 0.15, "contrast_limit": 0.15, "p": 0.5},
    ),
    "medium": (
        {"transform": "RandomResizedCrop", "scale": (0.7, 1.0), "ratio": (0.85, 1.18), "p": 0.8},
        {"transform": "Affine", "scale": (0.9, 1.1), "translate_percent": (-0.04, 0.04), "rotate": (-10, 10), "p": 0.5},
        {"transform": "ColorJitter", "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.02, "p": 0.7},
        {
            "transform": "OneOf",
            "of": (
                {"transform": "GaussianBlur", "sigma_limit": (0.3, 1.2)},
                {"transform": "GaussNoise", "std_range": (0.01, 0.04)},
                {"transform": "ImageCompression", "quality_range": (50, 90)},
            ),
            "p": 0.3,
        },
    ),
    "strong": (
        {"transform": "RandomResizedCrop", "scale": (0.5, 1.0), "ratio": (0.8, 1.25), "p": 0.9},
        {"transform": "Affine", "scale": (0.85, 1.15), "rotate": (-15, 15), "shear": (-6, 6), "p": 0.6},
        {"transform": "ColorJitter", "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.04, "p": 0.8},
        {
            "transform": "OneOf",
            "of": (
                {"transform": "GaussianBlur", "sigma_limit": (0.5, 2.0)},
                {"transform": "GaussNoise", "std_range": (0.02, 0.08)},
                {"transform": "ImageCompression", "quality_range": (30, 80)},
            ),
            "p": 0.5,
        },
        {
            "transform": "CoarseDropout",
            "num_holes_range": (1, 3),
            "hole_height_range": (0.08, 0.2),
            "hole_width_range": (0.08, 0.2),
            "fill": 128,
            "p": 0.5,
        },
    ),
}


@dataclass(frozen=True)
class Policy:
    """Changes an image of shape (side_px, side_px, 3), uint8; never in place.

    The same pixels and seed give the same result in any thread, process and order of calls. Can be pickled.
    """

    name: str
    transforms: tuple[Transform, ...]
    side_px: int
    _own: threading.local = field(default_factory=threading.local, init=False, repr=False, compare=False)

    def __call__(self, pixels: Pixels, seed: int) -> Pixels:
        """The image that `seed` makes of `pixels`."""
        if not self.transforms:
            return pixels.copy()
        if not hasattr(self._own, "compose"):  # a Compose holds the random state, so threads cannot share one
            self._own.compose = _build(self.transforms, self.side_px)
        # Compose.set_random_seed gives every transform the same stream, so that all of them apply or none does;
        # with one shared stream they are independent, and it is three times as fast
        self._own.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))  # noqa: S311
        changed: Pixels = self._own.compose(image=pixels)["image"]
        return changed

    def __reduce__(self) -> tuple[Callable[..., "Policy"], tuple[object, ...]]:
        """Pickle the description; what albumentations built is built again."""
        return Policy, (self.name, self.transforms, self.side_px)


def make_policy(params: AugmentParams, side_px: int) -> Policy:
    """The policy that `params` name, with the mirrors that they allow, for images of `side_px`."""
    allowed = {"HorizontalFlip": params.horizontal_flip, "VerticalFlip": params.vertical_flip}
    mirrors: list[Transform] = [{"transform": name, "p": 0.5} for name, on in allowed.items() if on]
    transforms = params.transforms if params.policy == "own" else _POLICIES[params.policy]
    return Policy(params.policy, (*mirrors, *transforms), side_px)


def describe(policy: Policy, digest: str) -> Augmentation:
    """What `load_policy` needs to make the same policy again; `digest` as `digest_of` gives it."""
    return Augmentation(policy.name, policy.side_px, policy.transforms, digest)


def load_policy(path: Path, *, mitigated: bool = True) -> Policy:
    """The policy that `augmentation.json` describes; not `mitigated`: without what is aimed at a bias that was found.

    Raises BrokenArtifact where it cannot be read, GateRefused where it was found to change labels.
    """
    data = read_json(path)
    try:
        transforms = tuple(frozen(one) for one in data["transforms"][0 if mitigated else data["mitigating"] :])
        policy, refused = Policy(data["policy"], transforms, data["side_px"]), data["refused"]
    except KeyError as error:
        raise BrokenArtifact(f"{path} has no {error}; run `graft run --force augment`") from None
    if refused:
        raise GateRefused(
            f"{path} says that {', '.join(refused)} changes labels; run `graft run`, which says what to do"
        )
    return policy


def seed_for(seed: int, epoch: int, sha256: str) -> int:
    """The seed of one image in one epoch: 64 bits that depend on these three and on no worker and no order."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{epoch}:{sha256}".encode()).digest()[:8], "big")


def digest_of(images: list[Pixels]) -> str:
    """The hex SHA-256 over the bytes of images."""
    joined = hashlib.sha256()
    for image in images:
        joined.update(np.ascontiguousarray(image).tobytes())
    return joined.hexdigest()


def frozen(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return value


def _cover(image: Pixels, *, top: float, left: float, height: float, width: float, **_: object) -> Pixels:
    """`image` with a rectangle (in shares of its sides) in the mean colour of what is around it."""
    (rows, columns), out = image.shape[:2], image.copy()
    inside = np.s_[
        round(top * rows) : round((top + height) * rows), round(left * columns) : round((left + width) * columns)
    ]
    around = np.ones((rows, columns), bool)
    around[inside] = False
    out[inside] = image[around].mean(axis=0).round() if around.any() else 128
    return out


def _neutral(name: str) -> dict[str, tuple[float, float]]:
    """What is not set does nothing: albumentations' own defaults would brighten where only a hue was asked for."""
    return {key: (one.neutral, one.neutral) for key, one in ALLOWED[name].items() if one.neutral is not None}


def _build(transforms: tuple[Transform, ...], side_px: int) -> object:
    prepare_environment()
    import albumentations as alb
    import cv2

    always: dict[str, dict[str, Any]] = {
        "Affine": {"border_mode": cv2.BORDER_REFLECT_101},  # black borders would be a new feature of the image
        "RandomResizedCrop": {"size": (side_px, side_px)},
    }
    makers: dict[str, Callable[..., object]] = {
        "Affine": alb.Affine,
        "CoarseDropout": alb.CoarseDropout,
        "Cover": lambda p, **box: alb.Lambda(image=partial(_cover, **box), p=p),
        "ColorJitter": alb.ColorJitter,
        "GaussianBlur": alb.GaussianBlur,
        "GaussNoise": alb.GaussNoise,
        "HorizontalFlip": alb.HorizontalFlip,
        "ImageCompression": alb.ImageCompression,
        "RandomBrightnessContrast": alb.RandomBrightnessContrast,
        "RandomResizedCrop": alb.RandomResizedCrop,
        "RandomRotate90": alb.RandomRotate90,
        "ToGray": alb.ToGray,
        "VerticalFlip": alb.VerticalFlip,
    }

    def build(one: Transform) -> object:
        name, arguments = one["transform"], {k: v for k, v in one.items() if k not in {"transform", "of"}}
        if name == "OneOf":
            return alb.OneOf([build(inner) for inner in one["of"]], **arguments)
        if name not in makers:
            raise BrokenArtifact(f"unknown transform {name} in augmentation.json; run `graft run --force augment`")
        return makers[name](**{**_neutral(name), **arguments}, **always.get(name, {}))

    return alb.Compose([build(one) for one in transforms])
