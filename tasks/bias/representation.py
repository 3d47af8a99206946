"""Who is in the data: images by class and group, how uneven they are, and what is missing where."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from tasks.contracts.records import SPLITS, Finding, Severity, Statistic

NO_GROUP = "all"
SMALL_CELL = 10  # fewer images of a class in a group say nothing about how a model does there
MOST_GROUPS = 50  # beyond, the smaller groups are counted together
_EXAMPLES = 5


def composition(images: pd.DataFrame, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Images by label and group ("all" where none is declared); empty cells are left out, empty classes are not.

    With more than MOST_GROUPS groups the smaller ones stand together as "N smaller groups".
    """
    groups = _groups(images)
    sizes = sorted(Counter(groups).items(), key=lambda item: (-item[1], item[0]))
    merged = {name for name, _ in sizes[MOST_GROUPS:]}
    names = groups.where(~groups.isin(merged), f"{len(merged)} smaller groups")
    cells = Counter(zip(images["label"], names, strict=True))
    out: dict[str, dict[str, int]] = {label: {} for label in classes}
    for (label, name), n in sorted(cells.items()):
        out[label][name] = n
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


def findings(images: pd.DataFrame, sizes: dict[str, dict[str, int]]) -> list[Finding]:
    """Classes that a split lacks, uneven classes, and cells of class and group with few images."""
    return [*_missing(sizes), *_uneven(sizes), *_small_cells(images)]


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


def _small_cells(images: pd.DataFrame) -> list[Finding]:
    """One finding for all small cells; a group that belongs to one class by nature (a video) is no small cell."""
    groups = _groups(images)
    if set(groups) <= {NO_GROUP}:
        return []
    cells = pd.crosstab(images["label"], groups)
    shared = cells.loc[:, (cells > 0).sum() > 1]
    small = [
        (n, f"{label} in {group}: {n}")
        for group in shared.columns
        for label, n in shared[group].items()
        if n < SMALL_CELL
    ]
    if not small:
        return []
    small.sort()
    statistic = Statistic(f"cells with fewer than {SMALL_CELL} images", float(len(small)), len(images))
    examples = ", ".join(text for _, text in small[:_EXAMPLES])
    message = f"{len(small)} of {shared.size} cells of class and group have fewer than {SMALL_CELL} images: {examples}"
    return [Finding("small_cells", "info", "group", statistic, message, "add images of these classes in these groups")]
