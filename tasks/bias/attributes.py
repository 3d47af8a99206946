"""Which attributes of the images are examined, which are not and why, and their values as few levels.

An attribute is a metadata column, the declared group where it has few values (a site, a camera; not a patient), or the
camera that EXIF names.
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
CAMERA = "EXIF camera"
MOST_VALUES = 12
BINS = 5
MOST_GROUPS = 20  # beyond, a group is a person or a video
_PREFIX = "meta_"
_EXACT = 2**53  # beyond, a float need not be the whole number that it stands for

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
    if "camera" in images and CAMERA not in names.values() and images["camera"].notna().any():
        names["camera"] = CAMERA
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
        column = _column(columns[name], counted)
        made: Levels | str = "not among the attributes that were asked for"
        if not wanted or name in wanted:
            made = _levels(name, column, small, counted)
        kinds, missing = int((column.sizes > 0).sum()), int((column.codes[counted] < 0).sum())
        if isinstance(made, Levels):
            levels.append(made)
            told.append(Attribute(name, kinds, missing, values=made.names[:-1]))
        else:
            told.append(Attribute(name, kinds, missing, why_not=made))
    return tuple(levels), tuple(told)


@dataclass(frozen=True)
class _Column:
    """A column's distinct values, which of them each image has (-1 where none), and how many counted images have it."""

    kinds: pd.Series
    codes: Codes
    sizes: Codes


def _column(values: pd.Series, counted: Bools) -> _Column:
    codes, kinds = pd.factorize(values)
    sizes = np.bincount(codes[counted & (codes >= 0)], minlength=len(kinds))
    return _Column(pd.Series(kinds), codes.astype(np.int64), sizes.astype(np.int64))


def _levels(name: str, column: _Column, small: int, counted: Bools) -> Levels | str:
    """The levels of a column, or in words why it has none that are worth examining."""
    kinds, images = int((column.sizes > 0).sum()), int(column.sizes.sum())
    if not images:
        return "the column is empty"
    numbers = _numbers(column.kinds)
    if numbers is not None and kinds > 2 * BINS:
        names, of_kinds = _binned(numbers, column.sizes)
        named = len(names)
    elif kinds > images / 2 and kinds > 2 * BINS:
        return "the column names single images"
    elif name == GROUP and kinds > MOST_GROUPS:
        return f"more than {MOST_GROUPS} values: persons or recordings rather than an attribute"
    else:
        text = as_text(column.kinds)
        kept = _kept(text, column.sizes, small)
        if not kept:
            return f"no value has {small} images"
        names, of_kinds = _named(text, kept)
        named = len(kept)
    codes = np.where(column.codes < 0, len(names), of_kinds[column.codes])
    sizes = np.bincount(codes[counted], minlength=len(names) + 1)
    if (sizes > 0).sum() < 2:
        return "the column has one value only"
    if (sizes[:-1][sizes[:-1] > 0] < small).any():
        return f"too few images: a range of its numbers has fewer than {small}"
    return Levels(name, (*names, MISSING), named, codes)


def _numbers(kinds: pd.Series) -> NDArray[np.float64] | None:
    if pd.api.types.is_bool_dtype(kinds):
        return None
    numbers = pd.to_numeric(kinds, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return None if np.isnan(numbers).any() else numbers


def _binned(numbers: NDArray[np.float64], sizes: Codes) -> tuple[list[str], Codes]:
    """Numbers cut at their quantiles. The ends are left open: the least and the most would be single images."""
    edges = np.unique(np.quantile(np.repeat(numbers, sizes), np.linspace(0, 1, BINS + 1)[1:-1]))
    cuts = _told_apart(edges)
    inner = [f"{low} to {high}" for low, high in pairwise(cuts)]
    codes = np.searchsorted(edges, numbers, side="right").astype(np.int64)
    return [f"below {cuts[0]}", *inner, f"from {cuts[-1]}"], codes


def _told_apart(edges: NDArray[np.float64]) -> list[str]:
    """Distinct numbers as distinct texts, of as few digits as that takes but at least four; 17 always do."""
    texts = ([f"{edge:.{digits}g}" for edge in edges] for digits in range(4, 18))
    return next(each for each in texts if len(set(each)) == len(edges))


def as_text(values: pd.Series) -> pd.Series:
    """Values as text; whole numbers without a point, a missing value stays one. Different numbers stay different."""
    if pd.api.types.is_float_dtype(values):
        return values.map(_number_as_text, na_action="ignore").astype("object")
    return values.astype("object").map(str, na_action="ignore")


def _number_as_text(value: float) -> str:
    whole = float(value).is_integer() and abs(value) <= _EXACT
    return str(int(value)) if whole else repr(float(value))


def _kept(text: pd.Series, sizes: Codes, small: int) -> list[str]:
    """The values that stand for themselves, the most frequent first.

    Were the rest fewer than `small` but not none, they could be counted from the others: the smallest joins them.
    """
    counts = pd.Series(sizes).groupby(text.to_numpy(dtype=object)).sum()
    order = sorted(((str(name), int(n)) for name, n in counts.items()), key=lambda item: (-item[1], item[0]))
    kept = [(name, n) for name, n in order[:MOST_VALUES] if n >= small]
    rest = int(sizes.sum()) - sum(n for _, n in kept)
    while kept and 0 < rest < small:
        rest += kept.pop()[1]
    return [name for name, _ in kept]


def _named(text: pd.Series, kept: list[str]) -> tuple[list[str], Codes]:
    names, place = sorted(kept), {name: i for i, name in enumerate(sorted(kept))}
    codes = np.array([place.get(value, len(kept)) for value in text], np.int64)
    if others := len({value for value in text if value not in place}):
        names.append(f"{others} {'other' if others == 1 else 'others'}")
    return names, codes
