"""Slices of the test split that the model does worse on than their classes explain, found by search.

A slice is a condition or two together: a value of a metadata column, a range of a measure of the picture, a class
(SliceFinder: Chung et al., 2019; SliceLine: Sagadeeva and Boehm, 2021). Which slices are looked at depends on the
images alone, never on the errors. The statistic is the standardised excess of errors over what the classes in the
slice have elsewhere; its p-value is that of the largest excess of all slices when errors are shuffled within classes
(Westfall and Young, 1993), so it holds for the worst of however many were looked at. Images count as independent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.bias.attributes import Levels, columns_of, examine
from tasks.bias.cells import held_back
from tasks.contracts.params import EvaluateParams
from tasks.contracts.records import Finding, Section, Statistic
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.metrics import Floats, Ints, wilson

NAME, PICTURES = "worst slices", "outcomes by picture"
MOST_IMAGES, MOST_SLICES, SHOWN = 20_000, 4000, 8
_QUESTION = "Are there images, alike in something, that the model does worse on than their classes explain?"
_PICTURES = "How does the model do on small, dark, soft or pale images, and on their opposites?"
_LEAST = 10  # images of a slice
_LEAST_VARIANCE = 1.0  # of its number of errors: below, one error more would look like a wonder
_PERMUTATIONS = 999
_LEVEL = 0.05
_MOST_CONDITIONS, _MOST_CLASSES = 150, 50
_ALIKE = 0.5  # of the images of two slices together, that are in both: the second is not told
_AT_ONCE = 256
_ROUNDING = 1e-4  # equal excesses must compare as equal, however they were summed
_MEASURES = {  # what a person calls it, unlike any metadata column -> the column of the checked table, and its digits
    "picture's brightness": ("luminance_median", 3),
    "picture's contrast": ("contrast", 3),
    "picture's sharpness": ("sharpness", 3),
    "picture's colour": ("colour", 3),
    "picture's JPEG quality": ("jpeg_quality", 0),
}

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """Images that meet a condition or two: `inside` (n,)."""

    name: str
    inside: Bools

    @property
    def images(self) -> int:
        """How many."""
        return int(self.inside.sum())


@dataclass(frozen=True)
class Excess:
    """A slice with its errors beyond what its classes have, in standard deviations, and the corrected p-value."""

    of: Slice
    deviations: float
    expected_errors: float
    p_value: float


def slices(
    split: HeldOut, probabilities: Floats, params: EvaluateParams, rng: np.random.Generator
) -> tuple[tuple[Section, ...], list[Finding]]:
    """The worst slices, and the accuracy by what pictures are like; a finding for each that is worse beyond chance.

    Raises BadUsage where `params.attributes` names a column that is not there.
    """
    rows = split.rows.iloc[:MOST_IMAGES]
    wrong = probabilities.argmax(axis=1)[: len(rows)] != split.targets[: len(rows)]
    every = np.ones(len(rows), bool)
    columns, _ = examine(columns_of(rows), params.attributes, params.small_group, every)
    pictures, _ = examine(measures_of(rows), (), max(_LEAST, params.small_group), every)
    classes = _class_levels(split, len(rows))
    looked_at = candidates([*columns, *classes], pictures, params.small_group)
    found = search(looked_at, wrong, split.targets[: len(rows)], rng)
    told = [_statistic(one, wrong, len(looked_at)) for one in found]
    findings = [_finding(one, statistic) for one, statistic in zip(found, told, strict=True) if one.p_value <= _LEVEL]
    return (_worst(told, len(rows)), *_by_picture(pictures, wrong)), findings


def measures_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The measures of each picture that may matter to a model, as columns."""
    table = {
        name: rows[column].astype("float64").round(digits)
        for name, (column, digits) in _MEASURES.items()
        if column in rows
    }
    if {"width", "height"} <= set(rows.columns):
        size = np.sqrt(rows["width"].astype("float64") * rows["height"].astype("float64"))
        table = {"picture's size in px": pd.Series(size.round(), index=rows.index), **table}
    return pd.DataFrame(table, index=rows.index)


def candidates(attributes: Sequence[Levels], pictures: Sequence[Levels], small: int) -> list[Slice]:
    """The slices to look at, the largest first: whatever the errors are, equal images give equal slices.

    No slice has fewer than `small` images or leaves fewer of a condition outside; cells that may not be told are none.
    """
    single = [(levels, code) for levels in (*attributes, *pictures) for code in range(levels.named)]
    single = [one for one in single if (one[0].codes == one[1]).any()]
    single.sort(key=lambda one: (-int((one[0].codes == one[1]).sum()), one[0].name, one[1]))
    parts = [(levels, code, Slice(_named(levels, code), levels.codes == code)) for levels, code in single]
    parts = parts[:_MOST_CONDITIONS]
    private = {levels.name for levels in attributes}
    hidden: dict[tuple[str, str], Bools] = {}
    found = [one for _, _, one in parts]
    for (a, i, first), (b, j, second) in combinations(parts, 2):
        if a.name == b.name:
            continue
        both = Slice(f"{first.name} and {second.name}", first.inside & second.inside)
        left = [one.images - both.images for one in (first, second)]
        if both.images < small or any(n < small for n in left):
            continue
        if {a.name, b.name} <= private:
            if (a.name, b.name) not in hidden:
                hidden[a.name, b.name] = _hidden(a, b, small)
            if hidden[a.name, b.name][i, j]:
                continue
        found.append(both)
    fit = [one for one in found if max(_LEAST, small) <= one.images <= len(one.inside) - small]
    return sorted(fit, key=lambda one: -one.images)[:MOST_SLICES]


def search(looked_at: Sequence[Slice], wrong: Bools, targets: Ints, rng: np.random.Generator) -> list[Excess]:
    """The worst of the slices, the worst first, each told once: at most SHOWN."""
    if not looked_at or not wrong.any():
        return []
    shuffled, parts = _shuffled(wrong, targets, rng), []
    most = np.full(_PERMUTATIONS, -np.inf)
    for at in range(0, len(looked_at), _AT_ONCE):
        inside = np.stack([one.inside for one in looked_at[at : at + _AT_ONCE]]).astype(np.float32)
        expected, variance = _null(inside, wrong, targets)
        able, deviation = variance >= _LEAST_VARIANCE, np.sqrt(np.maximum(variance, _LEAST_VARIANCE))
        errors = np.column_stack([inside @ wrong.astype(np.float32), inside @ shuffled])
        standing = np.where(able[:, None], (errors - expected[:, None]) / deviation[:, None], -np.inf)
        most = np.maximum(most, standing[:, 1:].max(axis=0))
        parts.append(np.column_stack([standing[:, 0], expected]))
    excess, expected = np.concatenate(parts).T
    chosen: list[int] = []
    for i in np.argsort(-excess, kind="stable"):
        if excess[i] <= 0 or len(chosen) == SHOWN:
            break
        if not any(_alike(looked_at[i].inside, looked_at[j].inside) for j in chosen):
            chosen.append(int(i))
    beyond = [int((most >= excess[i] - _ROUNDING).sum()) for i in chosen]
    return [
        Excess(looked_at[i], float(excess[i]), float(expected[i]), (1 + more) / (1 + _PERMUTATIONS))
        for i, more in zip(chosen, beyond, strict=True)
    ]


def _null(inside: NDArray[np.float32], wrong: Bools, targets: Ints) -> tuple[Floats, Floats]:
    """Mean and variance of the errors of each slice, were they spread at random within the classes (hypergeometric)."""
    of_class = (targets[:, None] == np.arange(int(targets.max()) + 1)).astype(np.float32)
    sizes, there = of_class.sum(axis=0), (inside @ of_class).astype(np.float64)
    rate = (wrong.astype(np.float32) @ of_class) / np.maximum(sizes, 1)
    spread = there * rate * (1 - rate) * (sizes - there) / np.maximum(sizes - 1, 1)
    return there @ rate, spread.sum(axis=1)


def _shuffled(wrong: Bools, targets: Ints, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, _PERMUTATIONS): the errors of each class given to other images of it."""
    found = np.empty((len(wrong), _PERMUTATIONS), np.float32)
    for label in np.unique(targets):
        own = np.flatnonzero(targets == label)
        found[own] = rng.permuted(np.tile(wrong[own], (_PERMUTATIONS, 1)), axis=1).T
    return found


def _class_levels(split: HeldOut, n: int) -> Iterator[Levels]:
    """The classes as an attribute, where they are few enough to be told in pairs."""
    if 1 < len(split.classes) <= _MOST_CLASSES:
        yield Levels("class", (*split.classes, ""), len(split.classes), split.targets[:n])


def _hidden(a: Levels, b: Levels, small: int) -> Bools:
    """Which pairs of a value of each may not be told, for they or what is left would be too few."""
    shape = (len(a.names), len(b.names))
    images = np.bincount(np.ravel_multi_index((a.codes, b.codes), shape), minlength=shape[0] * shape[1])
    return held_back(images.reshape(shape).astype(np.int64), small)


def _named(levels: Levels, code: int) -> str:
    return f"{levels.name} = {levels.names[code]}"


def _alike(one: Bools, other: Bools) -> bool:
    return bool((one & other).sum() > _ALIKE * (one | other).sum())


def _statistic(one: Excess, wrong: Bools, looked_at: int) -> Statistic:
    n, errors = one.of.images, int(wrong[one.of.inside].sum())
    rate = wilson(f"{one.of.name}: accuracy", n - errors, n)
    how = f"Wilson; images of its classes get {1 - one.expected_errors / n:.1%}; errors shuffled within classes"
    correction = f"max-statistic over {looked_at:,} slices, {_PERMUTATIONS} permutations"
    return Statistic(
        rate.name, rate.value, n, rate.low, rate.high, estimator=how, p_value=one.p_value, correction=correction
    )


def _worst(told: Sequence[Statistic], n: int) -> Section:
    if told:
        return Section(NAME, _QUESTION, tuple(told))
    why = "not measured: no slice is large enough, or has more errors than its classes explain"
    return Section(NAME, _QUESTION, (Statistic(NAME, None, n, status="not_measurable", estimator=why),))


def _by_picture(pictures: Sequence[Levels], wrong: Bools) -> Iterator[Section]:
    """The accuracy in each range of each measure."""
    told = []
    for levels in pictures:
        sizes = np.bincount(levels.codes, minlength=len(levels.names))
        right = np.bincount(levels.codes[~wrong], minlength=len(levels.names))
        told += [
            wilson(f"{_named(levels, code)}: accuracy", int(right[code]), int(sizes[code]))
            for code in range(levels.named)
            if sizes[code]
        ]
    if told:
        yield Section(PICTURES, _PICTURES, tuple(told))


def _finding(one: Excess, accuracy: Statistic) -> Finding:
    usual = 1 - one.expected_errors / one.of.images
    return Finding(
        check="worse_slice",
        severity="warn",
        subject=one.of.name,
        statistic=accuracy,
        message=f"The model is worse on images with {one.of.name}: {accuracy.value:.1%} of {accuracy.n} right, where "
        f"images of the same classes get {usual:.1%} (p {one.p_value:.3f} over all slices).",
        remedy="Look at these images; add such training images, or augment towards them.",
    )
