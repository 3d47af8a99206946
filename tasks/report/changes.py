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


@dataclass(frozen=True)
class LabelRow:
    """What a change does to labels at its worst: which class is taken for which, and what follows from it."""

    name: str
    setting: str
    worst: str
    share: Report
    verdict: str


def label_rows(augmentation: Report) -> list[LabelRow]:
    """A row for each change that was tried, in the order of the policy; none where nothing was tried."""
    safety = augmentation.get("safety")  # null or absent: not tested
    worst: dict[str, Report] = {}
    for change in safety["changes"] if safety else ():
        known = worst.setdefault(change["rule"], change)
        if (change["changes_label"], change["share"]["value"]) > (known["changes_label"], known["share"]["value"]):
            worst[change["rule"]] = change
    return [_label_row(change, augmentation["refused"]) for change in worst.values()]


def _label_row(change: Report, refused: list[str]) -> LabelRow:
    verdict = "keeps labels"
    if change["changes_label"]:
        verdict = "changes labels: refused" if change["rule"] in refused else "changes labels"
    worst = f"{change['label']} taken for {change['becomes']}" if change["becomes"] else "no class taken for another"
    return LabelRow(change["rule"], change["setting"], worst, change["share"], verdict)


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
