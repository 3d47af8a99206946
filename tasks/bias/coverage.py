"""Which subgroups are missing or thin: a class with a value of an attribute, or two values together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tasks.bias.attributes import Levels
from tasks.bias.cells import Table
from tasks.contracts.params import CoverageParams
from tasks.contracts.records import SPLITS, Finding, Section, Statistic

NAME = "coverage"
QUESTION = "Are there enough images of each class with each value of an attribute, to learn from and to test on?"
MOST_MISSING = 10  # findings
_FEW_VALUES = 6  # of each of two attributes that are looked at together
_MOST_PAIRS = 20
_EXAMPLES = 5
_COUNT = "count; classes and values of which images were to be expected there, had they nothing to do with each other"

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A subgroup with fewer than `needed` images in a split; `images` is None where the number is held back."""

    who: str
    attribute: str
    split: str
    images: int | None
    needed: int
    expected: float

    @property
    def add(self) -> str:
        """What would close the gap."""
        if self.images is None:
            return f"up to {self.needed - 1} {self.split} images of {self.who}"
        missing = self.needed - self.images
        return f"{missing} {self.split} {'image' if missing == 1 else 'images'} of {self.who}"


def coverage(tables: Sequence[Table], params: CoverageParams, train: Sequence[Levels]) -> tuple[Section, list[Finding]]:
    """How many subgroups of each attribute lack images, which are missing, and pairs of values that never meet.

    `train` holds the attributes' levels of the training images, for the pairs. A value that one class alone has is no
    gap of the others: it goes with that class (see association).
    """
    if not tables:
        nothing = "not measured: there is no attribute to look at"
        return Section(NAME, QUESTION, (Statistic(NAME, None, 0, status="not_measurable", estimator=nothing),)), []
    needed = {"train": params.train, "test": params.test}
    gaps, statistics = [], []
    for table in tables:
        for split, least in needed.items():
            found, subgroups = _gaps(table, split, least)
            gaps += found
            statistics += _told(table.levels.name, split, found, subgroups)
    pairs, unmet = _pairs(train, params.train)
    return Section(NAME, QUESTION, (*statistics, *pairs)), [*_findings(gaps, len(gaps)), *unmet]


def _gaps(table: Table, split: str, needed: int) -> tuple[list[Gap], int]:
    """The gaps of an attribute in a split, and how many subgroups there are. Pooled classes and values are none."""
    place = SPLITS.index(split)
    images = table.images[: table.named, : table.levels.named, place]
    hidden = table.hidden[: table.named, : table.levels.named, place]
    every = table.images[: table.named, : table.levels.named].sum(axis=2)
    shared = ((every > 0).sum(axis=0) > 1)[None, :] & (images.sum(axis=1) > 0)[:, None]
    expected = _expected(images)
    out = [
        Gap(
            who=f"{table.classes[row]} with {table.levels.name} = {table.levels.names[column]}",
            attribute=table.levels.name,
            split=split,
            images=None if hidden[row, column] else int(images[row, column]),
            needed=needed,
            expected=float(expected[row, column]),
        )
        for row, column in np.argwhere(shared & (images < needed))
    ]
    return out, int(shared.sum())


def _expected(images: Ints) -> Floats:
    """Images of each cell if rows and columns had nothing to do with each other."""
    total = max(1, int(images.sum()))
    expected: Floats = images.sum(axis=1, keepdims=True) * images.sum(axis=0) / total
    return expected


def _told(attribute: str, split: str, gaps: Sequence[Gap], subgroups: int) -> list[Statistic]:
    """How many subgroups are missing and thin. Numbers that are held back count as if none were there."""
    name = f"{attribute}: {split} images"
    if not subgroups:
        why = "not measured: no value is shared by two classes that have images there"
        return [Statistic(f"{name}, subgroups with too few", None, 0, status="not_measurable", estimator=why)]
    missing = sum(one.images == 0 for one in gaps)
    lacking = sum(one.needed - (one.images or 0) for one in gaps)
    how = "count, of all classes with each value that two classes share"
    return [
        Statistic(f"{name}, subgroups without any", float(missing), subgroups, estimator=how),
        Statistic(f"{name}, subgroups with too few", float(len(gaps)), subgroups, estimator=how),
        Statistic(f"{name} to add, at most", float(lacking), subgroups, estimator="count"),
    ]


def _findings(gaps: Sequence[Gap], total: int) -> list[Finding]:
    """Each missing subgroup of which images were to be expected, the most surprising first; then all gaps together."""
    if not gaps:
        return []
    order = sorted(gaps, key=lambda one: (one.images != 0, -one.expected, SPLITS.index(one.split), one.who))
    missing = [one for one in order if one.images == 0 and one.expected >= one.needed]
    found = [
        Finding(
            check="missing_subgroup",
            severity="warn",
            subject=one.who,
            statistic=Statistic(f"{one.split} images expected", one.expected, 1, estimator=_COUNT),
            message=f"no {one.split} image of {one.who}, where {one.expected:.0f} were to be expected",
            remedy=f"add {one.add}",
        )
        for one in missing[:MOST_MISSING]
    ]
    rest = [one for one in order if one not in missing[:MOST_MISSING]]
    if rest:
        statistic = Statistic("subgroups with too few images", float(total), total, estimator="count")
        attributes = sorted({one.attribute for one in rest})
        message = f"{len(rest)} more subgroups have" if found else f"{len(rest)} subgroups have"
        message += f" fewer images than bias.coverage asks for, by {', '.join(attributes[:_EXAMPLES])}"
        remedy = f"add {', '.join(one.add for one in rest[:_EXAMPLES])}"
        found.append(Finding("thin_subgroups", "info", "coverage", statistic, message, remedy))
    return found


def _pairs(train: Sequence[Levels], needed: int) -> tuple[list[Statistic], list[Finding]]:
    """Two attributes of few values each: which pairs of values never meet in train though they should."""
    few = [one for one in train if one.named <= _FEW_VALUES and len(one.names) <= _FEW_VALUES + 1]
    looked_at = list(combinations(few, 2))
    measured = sorted((_pair(a, b, needed) for a, b in looked_at), key=lambda pair: (-pair[2], pair[0].name))
    statistics = [statistic for statistic, _, _ in measured[:_MOST_PAIRS]]
    if len(measured) > _MOST_PAIRS:
        how = "the pairs of attributes with the largest gaps are told"
        rest = len(measured) - _MOST_PAIRS
        statistics.append(Statistic("further pairs of attributes", None, rest, status="skipped", estimator=how))
    found = [
        Finding(
            check="missing_combination",
            severity="info",
            subject=who,
            statistic=Statistic("train images expected", expected, 1, estimator=_COUNT),
            message=f"no train image has {who}, where {expected:.0f} were to be expected",
            remedy=f"add {needed} images with {who}, or say that they cannot exist",
        )
        for _, who, expected in measured[:_EXAMPLES]
        if expected >= needed
    ]
    return statistics, found


def _pair(a: Levels, b: Levels, needed: int) -> tuple[Statistic, str, float]:
    """Pairs of values that never meet, and of these the one that was most to be expected."""
    both = a.known & b.known
    images = np.zeros((a.named, b.named), np.int64)
    known = both & (a.codes < a.named) & (b.codes < b.named)
    np.add.at(images, (a.codes[known], b.codes[known]), 1)
    expected = np.where(images == 0, _expected(images), 0.0)
    row, column = np.unravel_index(int(expected.argmax()), expected.shape)
    who = f"{a.name} = {a.names[row]} and {b.name} = {b.names[column]}"
    surprising = int((expected >= needed).sum())
    name = f"{a.name} and {b.name}: pairs of values without train images where {needed} were to be expected"
    statistic = Statistic(name, float(surprising), int(images.size), estimator="count, of all pairs of values")
    return statistic, who, float(expected[row, column])
