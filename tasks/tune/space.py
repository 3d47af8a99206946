"""What is tuned: settings of `params.yaml`, the range of each, and how a place in it becomes a value and back.

A search works on places; a person reads values, so these have three digits. The present value is always in the range
and comes back as it is.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from tasks.contracts.errors import BadUsage
from tasks.contracts.params import Params

Value = bool | int | float | str
Scale = Literal["linear", "log", "power"]

STRATEGY, POLICY = "train.strategy", "augment.policy"
POLICIES = ("none", "light", "medium", "strong")  # made by graft itself; flips stay as the params allow them
_POWER = 4  # a place's fourth power is the value: fine near 0, which is in the range, as it is not on a log scale


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`; places are even on `scale`."""

    key: str
    low: float
    high: float
    scale: Scale = "linear"


@dataclass(frozen=True)
class Count:
    """A whole number from `low` to `high`."""

    key: str
    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    key: str
    options: tuple[Value, ...]


Knob = Range | Count | Choice

_FINE = "train.fine_tuning"
_SMOOTHING = Range("train.label_smoothing", 0.0, 0.3)
_DECAY = Range("train.weight_decay", 0.0, 1.0, "power")
_OF_HEADS: tuple[Knob, ...] = (
    Range("train.learning_rate", 1e-4, 1e-1, "log"),
    _DECAY,
    Range("train.dropout", 0.0, 0.7),
    _SMOOTHING,
)
_OF_NETWORKS: tuple[Knob, ...] = (
    Range("train.learning_rate", 1e-4, 2e-2, "log"),
    _DECAY,
    Range("train.dropout", 0.0, 0.6),
    _SMOOTHING,
    Range("train.mixup", 0.0, 0.8),
)
_OF_FINE_TUNING: tuple[Knob, ...] = (
    Choice(f"{_FINE}.gradual", (False, True)),
    Choice(f"{_FINE}.probe_first", (False, True)),
    Range(f"{_FINE}.layer_decay", 0.5, 1.0),
    Range(f"{_FINE}.l2_sp", 0.0, 0.1, "power"),
)
_FROZEN = f"{_FINE}.frozen_stages"
TUNED = frozenset({STRATEGY, POLICY, _FROZEN, *(knob.key for knob in (*_OF_HEADS, *_OF_NETWORKS, *_OF_FINE_TUNING))})


def space_of(strategy: str, params: Params, stages: int) -> tuple[Knob, ...]:
    """What is varied under `strategy`, for a backbone of so many stages; every present value is within its range.

    Raises BadUsage where more stages are to be frozen than there are.
    """
    if strategy == "feature_extraction":
        return tuple(_around(knob, value_of(params, knob.key)) for knob in _OF_HEADS)
    knobs = list(_OF_NETWORKS)
    if tunes_augmentation(params):
        knobs.append(Choice(POLICY, POLICIES))
    if strategy == "fine_tuning":
        if params.train.fine_tuning.frozen_stages > stages:
            raise BadUsage(f"{_FROZEN} is {params.train.fine_tuning.frozen_stages}, but there are {stages} stages")
        knobs += [Count(_FROZEN, 0, stages), *_OF_FINE_TUNING]
        if params.train.fine_tuning.interpolate:  # which needs the probe
            knobs = [knob for knob in knobs if knob.key != f"{_FINE}.probe_first"]
    return tuple(_around(knob, value_of(params, knob.key)) for knob in knobs)


def tunes_augmentation(params: Params) -> bool:
    """Whether the present policy is one of those that differ in strength alone."""
    return params.augment.policy in POLICIES


def value_of(params: Params, key: str) -> Value:
    """The value at a dotted key."""
    node: Any = params
    for name in key.split("."):
        node = getattr(node, name)
    value: Value = node
    return value


def with_values(params: Params, values: dict[str, Value]) -> Params:
    """`params` with the values at these dotted keys.

    Raises pydantic's ValidationError where a value is out of bounds.
    """
    document = params.model_dump(by_alias=True)
    for key, value in values.items():
        *parents, last = key.split(".")
        node = document
        for parent in parents:
            node = node[parent]
        node[last] = value
    return Params.model_validate(document)


def place_of(knob: Knob, value: Value) -> Value:
    """Where a value lies."""
    if isinstance(knob, Range) and knob.scale == "power":
        return math.pow(float(value), 1 / _POWER)
    return float(value) if isinstance(knob, Range) else value


def value_at(knob: Knob, place: Value, present: Value) -> Value:
    """The value at a place, to three digits; at the place of the present value exactly that one."""
    if not isinstance(knob, Range):
        return place
    if place == place_of(knob, present):
        return present
    return float(f"{float(place) ** (_POWER if knob.scale == 'power' else 1):.3g}")


def settings_of(params: Params, values: dict[str, Value]) -> tuple[str, ...]:
    """What `--set` takes to make `params` have these values: a `KEY=VALUE` for each that differs."""
    return tuple(f"{key}={_text(value)}" for key, value in values.items() if value != value_of(params, key))


def fixed_part(params: Params) -> dict[str, Any]:
    """What decides a trial's result and is not varied: of another one, trials cannot be compared."""
    train = params.train.model_dump(exclude={"workers"})
    tuned = {key.removeprefix("train.") for key in TUNED}
    kept = {key: value for key, value in train.items() if key not in tuned | {"fine_tuning"}}
    fine = {key: value for key, value in train["fine_tuning"].items() if f"fine_tuning.{key}" not in tuned}
    augment = params.augment.model_dump(exclude={"policy"} if tunes_augmentation(params) else set())
    return {"seed": params.seed, "train": kept, "fine_tuning": fine, "augment": augment}


def _around(knob: Knob, present: Value) -> Knob:
    if isinstance(knob, Range):
        return Range(knob.key, min(knob.low, float(present)), max(knob.high, float(present)), knob.scale)
    return knob


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
