"""What cannot be a data set for a classifier is refused before anything is read."""

from pathlib import Path

import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.samples import class_order
from tasks.ingest.folders import Listing, folder_label
from tasks.ingest.names import twins


def refuse_empty_classes(root: Path, listing: Listing, labels: pd.Series, *, with_splits: bool) -> None:
    """Raise BadData for a class folder that holds nothing; one that is empty in some splits only is none."""
    known = set(labels.dropna())
    for path in listing.empty_folders:
        label, _ = folder_label(f"{path}/", with_splits=with_splits)
        if label is not None and label not in known:
            raise BadData(f"{root}: the class folder {path!r} is empty; put images there or remove it")


def refuse_twins(root: Path, paths: pd.Series) -> None:
    """Raise BadData for two paths that a file system, or a table written elsewhere, takes for one."""
    if pair := twins(paths):
        raise BadData(f"{root}: {pair[0]!r} and {pair[1]!r} differ in upper case or Unicode form only; rename one")


def refuse_too_little(root: Path, rows: pd.DataFrame) -> None:
    """Raise BadData where no two classes are there, or no class has two images whose label and place are known."""
    classes = class_order(rows["label"].dropna())
    if not classes:
        raise BadData(f"{root}: no image has a label; use a folder for each class, or a table with a column `label`")
    if len(classes) == 1:
        raise BadData(
            f"{root}: all images are of one class, {classes[0]!r}; a classifier needs at least two "
            "(the outermost folders are the classes: move them up if they lie one deeper)"
        )
    labelled = rows[rows["label"].notna()]
    there = labelled[[not reasons for reasons in labelled["reasons"]]]
    if not len(there):
        path, reasons = labelled.iloc[0][["path", "reasons"]]
        raise BadData(
            f"{root}: none of the {len(labelled):,} labelled files can be read, the first is {path!r} ({reasons[0]}); "
            "paths in a table are relative to data/raw"
        )
    if there["label"].value_counts().max() == 1:
        raise BadData(f"{root}: each of the {len(classes):,} classes has one image; to learn and to test needs more")
