"""Which attributes of the images are examined, which are not and why, and their values as few levels.

An attribute is a metadata column, or the declared group where it has few values (a site, a camera; not a patient).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import BadUsage, one_line
from tasks.contracts.records import Attribute

MISSING = "(missing)"
GROUP = "group"
MOST_VALUES = 12
BINS = 5
_MOST_GROUPS = 20  # beyond, a group is a person or a video
_PREFIX = "meta_"

Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Levels:
    """An attribute of n images: `codes` (n,) index `names`, whose last is `(missing)`.

    The first `named` names stand for one value each (a range of a number); what is between them and the last, if
    anything, stands for the rarer values together.
    """

    name: str
    names: tuple[str, ...]
    named: int
    codes: Codes

    @property
    def known(self) -> Bools:
        """Which images have a value."""
        known: Bools = self.codes < len(self.names) - 1
        return known

    def of(self, rows: Bools | Codes) -> "Levels":
        """The same levels for some of the images."""
        return Levels(self.name, self.names, self.named, self.codes[rows])


def columns_of(images: pd.DataFrame) -> pd.DataFrame:
    """The columns that may be attributes, by their own names, in the order of these."""
    names = {name: name.removeprefix(_PREFIX) for name in images.columns if str(name).startswith(_PREFIX)}
    if GROUP in images and GROUP not in names.values() and images[GROUP].notna().any():
        names[GROUP] = GROUP
    chosen = images[list(names)].rename(columns=names)
    return chosen[sorted(chosen.columns)]


def examine(
    columns: pd.DataFrame, wanted: Sequence[str], small: int, counted: Bools
) -> tuple[tuple[Levels, ...], tuple[Attribute, ...]]:
    """The levels of each column that can be examined, and what is said of every column.

    `wanted` are the columns to examine, none for all; `counted` (n,) says which rows decide what the levels are. Only
    the missing may be fewer than `small` of these. Raises BadUsage where a wanted column is not there.
    """
    if absent := sorted(set(wanted) - set(columns.columns)):
        there = ", ".join(map(str, columns.columns)) or "none"
        raise BadUsage(one_line(f"attributes: no column {', '.join(absent)} in the data; the columns are {there}"))
    levels, told = [], []
    for name in map(str, columns.columns):
        values = columns[name]
        made: Levels | str = "not among the attributes that were asked for"
        if not wanted or name in wanted:
            made = _levels(name, values, small, counted)
        own = values[counted]
        kinds, missing = int(own.nunique()), int(own.isna().sum())
        if isinstance(made, Levels):
            levels.append(made)
            told.append(Attribute(name, kinds, missing, values=made.names[:-1]))
        else:
            told.append(Attribute(name, kinds, missing, why_not=made))
    return tuple(levels), tuple(told)


def _levels(name: str, values: pd.Series, small: int, counted: Bools) -> Levels | str:
    """The levels of a column, or in words why it has none that are worth examining."""
    own = values[counted].dropna()
    if own.empty:
        return "the column is empty"
    kinds = own.nunique()
    numbers = _numbers(values)
    if numbers is not None and kinds > 2 * BINS:
        names, codes = _binned(numbers, counted)
        named = len(names)
    elif kinds > len(own) / 2 and kinds > 2 * BINS:
        return "the column names single images"
    elif name == GROUP and kinds > _MOST_GROUPS:
        return f"more than {_MOST_GROUPS} values: persons or recordings rather than an attribute"
    else:
        text = as_text(values)
        kept = _kept(text[counted], small)
        if not kept:
            return f"no value has {small} images"
        names, codes = _named(text, kept)
        named = len(kept)
    sizes = np.bincount(codes[counted], minlength=len(names) + 1)
    if (sizes > 0).sum() < 2:
        return "the column has one value only"
    if (sizes[:-1][sizes[:-1] > 0] < small).any():
        return f"too few images: a range of its numbers has fewer than {small}"
    return Levels(name, (*names, MISSING), named, codes)


def _numbers(values: pd.Series) -> pd.Series | None:
    if pd.api.types.is_bool_dtype(values):
        return None
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return None if numbers[values.notna()].isna().any() else numbers


def _binned(numbers: pd.Series, counted: Bools) -> tuple[list[str], Codes]:
    """Numbers cut at their quantiles. The ends are left open: the least and the most would be single images."""
    edges = np.unique(np.quantile(numbers[counted].dropna(), np.linspace(0, 1, BINS + 1)[1:-1]))
    codes = np.where(numbers.notna(), np.searchsorted(edges, numbers.fillna(0.0), side="right"), len(edges) + 1)
    cuts = [f"{edge:.4g}" for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(cuts)]
    return [f"below {cuts[0]}", *inner, f"from {cuts[-1]}"], codes.astype(np.int64)


def as_text(values: pd.Series) -> pd.Series:
    """Values as text; whole numbers without a point, a missing value stays one."""
    if pd.api.types.is_float_dtype(values):
        return values.map(lambda value: f"{value:g}", na_action="ignore").astype("object")
    return values.astype("object").map(str, na_action="ignore")


def _kept(text: pd.Series, small: int) -> list[str]:
    """The values that stand for themselves, the most frequent first.

    Were the rest fewer than `small` but not none, they could be counted from the others: the smallest joins them.
    """
    counts = sorted(text.value_counts().items(), key=lambda item: (-int(item[1]), str(item[0])))
    kept = [(str(name), int(n)) for name, n in counts[:MOST_VALUES] if n >= small]
    rest = sum(int(n) for _, n in counts) - sum(n for _, n in kept)
    while kept and 0 < rest < small:
        rest += kept.pop()[1]
    return [name for name, _ in kept]


def _named(text: pd.Series, kept: list[str]) -> tuple[list[str], Codes]:
    names = sorted(kept)
    codes = pd.Series(text.map({name: i for i, name in enumerate(names)})).to_numpy(dtype=np.float64, na_value=np.nan)
    others = int(text.nunique()) - int(text[np.isfinite(codes)].nunique())
    if others:
        names.append(f"{others} {'other' if others == 1 else 'others'}")
    codes = np.where(text.notna() & np.isnan(codes), len(kept), codes)
    return names, np.where(np.isnan(codes), len(names), codes).astype(np.int64)
