"""The augmentation policy in words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.report.sources import Report


@dataclass(frozen=True)
class Change:
    """What may happen to a training image: which change, how often, and how strongly."""

    name: str
    chance: float | None
    settings: str


def changes(augmentation: Report) -> list[Change]:
    """The transforms of a policy, in order."""
    return [_change(one) for one in augmentation["transforms"]]


def _change(transform: Mapping[str, Any]) -> Change:
    if "of" in transform:
        parts = [_change(one) for one in transform["of"]]
        return Change("one of", transform.get("p"), "; ".join(f"{part.name}: {part.settings}" for part in parts))
    settings = (f"{key.replace('_', ' ')} {_value(v)}" for key, v in transform.items() if key not in ("transform", "p"))
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(transform["transform"])).lower()
    return Change(name, transform.get("p"), ", ".join(settings))


def _value(value: object) -> str:
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{value[0]} to {value[1]}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
