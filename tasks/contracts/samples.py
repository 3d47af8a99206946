"""Which rows of `data/checked.parquet` may be learned from."""

import re
from collections.abc import Iterable
from decimal import Decimal

import pandas as pd

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def usable(checked: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """The images that no check took out, of one split or of all, in an order that depends on content, not on names."""
    kept = checked["verdict"] != "quarantine"
    if split is not None:
        kept &= checked["split"] == split
    return checked[kept].sort_values(["sha256", "path"], ignore_index=True)


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Each label once: first those that are decimal numbers by their value, then the others as text."""
    return tuple(sorted(set(labels), key=_place_of_class))


def _place_of_class(label: str) -> tuple[bool, Decimal, str]:
    is_number = _NUMBER.fullmatch(label) is not None
    return not is_number, Decimal(label) if is_number else Decimal(0), label
