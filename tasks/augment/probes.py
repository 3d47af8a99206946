"""What is tried of a policy: each of its changes alone, always applied, at the ends of its range."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.contracts.transforms import ALLOWED, ONE_OF, Argument, ends

Transform = Mapping[str, Any]

WHOLE_POLICY = "policy"
HALF_TURN = "HorizontalFlip+VerticalFlip"


@dataclass(frozen=True)
class Probe:
    """One thing to try: `rule` names the change as a waiver does, `setting` its value, `transforms` what is applied."""

    rule: str
    setting: str
    transforms: tuple[Transform, ...]


def probes_of(transforms: Sequence[Transform]) -> tuple[Probe, ...]:
    """Everything to try of a policy, each thing once.

    Both mirrors together make a half turn, so they are tried together too; and so is the policy as it is drawn.
    """
    flat = [one for given in transforms for one in (given["of"] if given["transform"] == ONE_OF else (given,))]
    found: list[Probe] = []
    for probe in (probe for one in flat for probe in _of_one(one)):
        if probe not in found:
            found.append(probe)
    mirrors = HALF_TURN.split("+")
    if {str(one["transform"]) for one in flat}.issuperset(mirrors):
        found.append(Probe(HALF_TURN, "both", tuple(mirror(name) for name in mirrors)))
    if len(found) > 1:
        found.append(Probe(WHOLE_POLICY, "as drawn in training", tuple(transforms)))
    return tuple(found)


def mirror(name: str) -> Transform:
    """A transform without arguments that is always applied."""
    return {"transform": name, "p": 1.0}


def _of_one(transform: Transform) -> Iterator[Probe]:
    name = str(transform["transform"])
    if name == "RandomRotate90":
        for degrees in (90.0, 180.0, 270.0):
            yield Probe(name, f"{degrees:g} degrees", ({**mirror("Affine"), "rotate": (degrees, degrees)},))
        return
    arguments = ALLOWED[name]
    strongest = {key: _strongest(one, transform[key]) for key, one in arguments.items() if one.neutral is None}
    varied = {
        key: _values(one, transform[key])
        for key, one in arguments.items()
        if one.neutral is not None and key in transform
    }
    settings = [(key, {**strongest, key: value}) for key, values in varied.items() for value in values]
    if strongest and not settings:
        settings = [("", strongest)]
    if not arguments:
        yield Probe(name, "always", (mirror(name),))
    for key, setting in settings:
        # of a crop or a hole the parts make one change together; a turn and a shift are two
        rule = name if strongest else f"{name}.{key}"
        words = ", ".join(
            f"{part.removesuffix('_range').replace('_', ' ')} {value:g}" for part, value in setting.items()
        )
        yield Probe(rule, words, ({**mirror(name), **_pinned(arguments, setting)},))


def _strongest(argument: Argument, value: Any) -> float:
    low, high = ends(argument, value)
    return low if argument.strongest == "low" else high


def _values(argument: Argument, value: Any) -> list[float]:
    """Both ends of the range, and steps of a stride on the way there from where nothing changes."""
    neutral = argument.neutral or 0.0
    found = []
    for end in sorted(set(ends(argument, value)) - {neutral}):
        steps = max(1, math.ceil(round(abs(end - neutral) / argument.stride, 6)))
        found += [neutral + (end - neutral) * step / steps for step in range(1, steps + 1)]
    return found


def _pinned(arguments: Mapping[str, Argument], setting: Mapping[str, float]) -> dict[str, Any]:
    """Arguments that allow one value only; those without a setting change nothing."""
    pinned: dict[str, Any] = {}
    for key, argument in arguments.items():
        value = setting.get(key, argument.neutral)
        whole = int(value) if argument.whole and value is not None else value
        pinned[key] = whole if argument.form == "value" else (whole, whole)
    return pinned
