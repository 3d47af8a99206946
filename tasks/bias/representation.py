"""Who is in the data: images by class and group, how uneven they are, and what is missing where."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tasks.bias.attributes import MOST_GROUPS
from tasks.bias.cells import held_back
from tasks.contracts.records import SPLITS, Finding, Severity, Statistic

NO_GROUP = "all"


def composition(images: pd.DataFrame, classes: Sequence[str], small: int) -> dict[str, dict[str, int | None]]:
    """Images by label and group ("all" where none is declared); empty cells are left out, empty classes are not.

    More than MOST_GROUPS groups are persons or recordings, whose names are nobody's business: they stand together as
    "N groups". A number below `small` is None, and as many others as it takes to hide it (cells.py).
    """
    groups = _groups(images)
    declared = images["group"].notna()
    together = f"{groups[declared].nunique()} groups"
    names = groups.mask(declared, together) if groups[declared].nunique() > MOST_GROUPS else groups
    table = pd.crosstab(images["label"], names)
    counts = table.to_numpy(dtype=np.int64)
    # all images of a class are no secret: its size stands in other reports
    whole = set(table.columns) in ({NO_GROUP}, {together})
    hidden = np.zeros_like(counts, bool) if whole else held_back(counts, small)
    out: dict[str, dict[str, int | None]] = {label: {} for label in classes}
    for row, column in np.argwhere((counts > 0) | hidden):
        told = None if hidden[row, column] else int(counts[row, column])
        out[str(table.index[row])][str(table.columns[column])] = told
    return out


def split_sizes(images: pd.DataFrame, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Images by label and split, zeros included."""
    cells = Counter(zip(images["label"], images["split"], strict=True))
    return {label: {split: cells[label, split] for split in SPLITS} for label in classes}


def imbalance_ratio(sizes: dict[str, dict[str, int]]) -> Statistic:
    """Largest over smallest class on the training split; not measurable where a class has no image there."""
    train = [of_split["train"] for of_split in sizes.values()]
    name, estimator = "imbalance ratio", "largest / smallest class, train split"
    if not train or min(train) == 0:
        return Statistic(name, None, sum(train), status="not_measurable", estimator=estimator)
    return Statistic(name, max(train) / min(train), sum(train), estimator=estimator)


def findings(sizes: dict[str, dict[str, int]]) -> list[Finding]:
    """Classes that a split lacks, and uneven classes."""
    return [*_missing(sizes), *_uneven(sizes)]


def _groups(images: pd.DataFrame) -> pd.Series:
    return images["group"].astype("object").where(images["group"].notna(), NO_GROUP).astype(str)


def _missing(sizes: dict[str, dict[str, int]]) -> list[Finding]:
    found = []
    for label, of_split in sizes.items():
        for split in (split for split in SPLITS if of_split[split] == 0):
            severity: Severity = "error" if split == "train" else "warn"
            found.append(
                Finding(
                    check="missing_class",
                    severity=severity,
                    subject=label,
                    statistic=Statistic(f"images in {split}", 0.0, sum(of_split.values()), estimator="count"),
                    message=f"no usable image of {label} is in the {split} split",
                    remedy="add images of this class, or declare its splits in the table",
                )
            )
    return found


def _uneven(sizes: dict[str, dict[str, int]]) -> list[Finding]:
    ratio = imbalance_ratio(sizes)
    if ratio.value is None or ratio.value < 3:
        return []
    smallest = min(sizes, key=lambda label: (sizes[label]["train"], label))
    severity: Severity = "warn" if ratio.value >= 10 else "info"
    message = f"the largest class has {ratio.value:.1f} times the training images of the smallest, {smallest}"
    return [Finding("imbalance", severity, smallest, ratio, message, "add images of the small classes")]
