"""The changes of a picture that a user's own policy may be made of: names, arguments, and what each may be.

A literal table and nothing of the library that applies them. What a user does not set is left as it is in the picture.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ONE_OF = "OneOf"
_KEYS = ("transform", "p")


@dataclass(frozen=True)
class Argument:
    """What may be set: numbers from `least` to `most`.

    `form` is how it is written: "range" [low, high], "limit" a number that stands for `neutral` - it to `neutral` + it,
    or "value" the number itself. `neutral` changes nothing; where it is None the argument must be given, and
    `strongest` says which end of its range changes most. `stride` is how far apart two values may lie and still do
    the same to a picture: a turn by 90 degrees is another thing than one by 180.
    """

    least: float
    most: float
    form: Literal["range", "limit", "value"] = "range"
    neutral: float | None = None
    strongest: Literal["low", "high"] = "high"
    whole: bool = False
    stride: float = math.inf


ALLOWED: dict[str, dict[str, Argument]] = {
    "Affine": {
        "scale": Argument(0.2, 5, neutral=1),
        "translate_percent": Argument(-0.5, 0.5, neutral=0),
        "rotate": Argument(-180, 180, neutral=0, stride=90),  # degrees
        "shear": Argument(-45, 45, neutral=0),  # degrees
    },
    "CoarseDropout": {
        "num_holes_range": Argument(1, 50, whole=True),
        "hole_height_range": Argument(0.01, 0.9),  # of the side
        "hole_width_range": Argument(0.01, 0.9),
        "fill": Argument(0, 255, "value", whole=True),
    },
    "ColorJitter": {
        "brightness": Argument(0, 1, "limit", neutral=1),
        "contrast": Argument(0, 1, "limit", neutral=1),
        "saturation": Argument(0, 1, "limit", neutral=1),
        "hue": Argument(0, 0.5, "limit", neutral=0, stride=1 / 6),  # of the colour circle
    },
    "Cover": {  # a rectangle at a fixed place, in shares of the side
        "top": Argument(0, 1, "value"),
        "left": Argument(0, 1, "value"),
        "height": Argument(0.01, 1, "value"),
        "width": Argument(0.01, 1, "value"),
    },
    "GaussianBlur": {"sigma_limit": Argument(0.1, 20)},  # px
    "GaussNoise": {"std_range": Argument(0, 1)},  # of full scale
    "HorizontalFlip": {},
    "ImageCompression": {"quality_range": Argument(1, 100, whole=True, strongest="low")},  # of JPEG
    "RandomBrightnessContrast": {
        "brightness_limit": Argument(0, 1, "limit", neutral=0),
        "contrast_limit": Argument(0, 1, "limit", neutral=0),
    },
    "RandomResizedCrop": {
        "scale": Argument(0.05, 1, strongest="low"),  # of the area
        "ratio": Argument(0.3, 3.4, neutral=1),  # of width to height
    },
    "RandomRotate90": {},
    "ToGray": {},
    "VerticalFlip": {},
}


def ends(argument: Argument, value: Any) -> tuple[float, float]:
    """The lowest and the highest number that `value` lets an argument take."""
    match argument.form:
        case "range":
            low, high = value
            return low, high
        case "limit":
            return (argument.neutral or 0) - value, (argument.neutral or 0) + value
        case _:
            return value, value


def problem_of(transform: Mapping[str, Any]) -> str:
    """What is wrong with one transform of a user's policy, with the nearest name that is right; empty if nothing is."""
    name = transform.get("transform")
    if name == ONE_OF:
        return _problem_of_choice(transform)
    if not isinstance(name, str) or name not in ALLOWED:
        return f"unknown transform {name!r}, {_nearest(str(name), (*ALLOWED, ONE_OF))}"
    known = ALLOWED[name]
    for key in transform:
        if key not in (*_KEYS, *known):
            return f"{name} has no argument {key}, {_nearest(key, (*known, 'p'))}"
    if missing := [key for key, argument in known.items() if argument.neutral is None and key not in transform]:
        return f"{name} needs {', '.join(missing)}"
    found = (
        f"{name}.{key} {wrong}" for key in known if key in transform and (wrong := _wrong(known[key], transform[key]))
    )
    return next(found, "") or _problem_of_chance(transform, name)


def _problem_of_choice(transform: Mapping[str, Any]) -> str:
    of = transform.get("of")
    if unknown := sorted(set(transform) - {*_KEYS, "of"}):
        return f"{ONE_OF} has no argument {unknown[0]}, {_nearest(unknown[0], ('of', 'p'))}"
    if not isinstance(of, tuple) or not of or not all(isinstance(one, dict) for one in of):
        return f"{ONE_OF} needs of: a list of transforms"
    if any(one.get("transform") == ONE_OF for one in of):
        return f"{ONE_OF} inside {ONE_OF} is not allowed"
    return next((problem for one in of if (problem := problem_of(one))), "") or _problem_of_chance(transform, ONE_OF)


def _problem_of_chance(transform: Mapping[str, Any], name: str) -> str:
    chance = transform.get("p")
    if chance is None:
        return f"{name} needs p, how often it is applied: above 0, at most 1"
    return "" if _is_number(chance) and 0 < chance <= 1 else f"{name}.p must be above 0 and at most 1, not {chance!r}"


def _wrong(argument: Argument, value: Any) -> str:
    numbers = value if argument.form == "range" else (value,)
    if argument.form == "range" and (not isinstance(value, tuple) or len(value) != 2):
        return f"must be a range [low, high], not {value!r}"
    if not all(_is_number(number) and argument.least <= number <= argument.most for number in numbers):
        return f"must lie within {argument.least:g} and {argument.most:g}, not {value!r}"
    if argument.whole and not all(isinstance(number, int) for number in numbers):
        return f"must be whole, not {value!r}"
    return f"must be [low, high] with low <= high, not {value!r}" if numbers[0] > numbers[-1] else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    by_lower = {one.lower(): one for one in known}
    nearest = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"did you mean {by_lower[nearest[0]]}?" if nearest else f"known here: {', '.join(known)}"
