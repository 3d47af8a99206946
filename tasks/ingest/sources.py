"""From a data folder and an optional table to the manifest: one row for every file found or named."""

from pathlib import Path

import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.folders import Listing, file_problem, folder_labels


def build_manifest(root: Path, listing: Listing, table: pd.DataFrame | None, params: IngestParams) -> pd.DataFrame:
    """Columns `path`, `label`, `split`, `group`, `reasons` and `meta_*`, sorted by path.

    Raises BadData where folders and table contradict each other or give fewer than two classes.
    """
    files = pd.DataFrame(
        {"path": [file.path for file in listing.files], "reasons": [list(file.reasons) for file in listing.files]}
    ).astype({"path": "str"})
    rows = _joined(root, files, table)
    folders = folder_labels(list(rows["path"]))
    by_folder = pd.DataFrame(folders, columns=["label", "split"], dtype="str").set_axis(rows.index)
    rows["label"] = _labels(rows["label"], by_folder["label"], params.labels_from, has_labels=_has_labels(table))
    rows["split"] = _agreed(rows["split"], by_folder["split"], "split", "leave the column out or correct it")
    if not len(rows):
        raise BadData(f"{root} holds no images; put them there in one folder for each class")
    _refuse_too_few_classes(root, rows["label"])
    unlabelled = rows["label"].isna()
    rows["reasons"] = [
        [*reasons, "no_label"] if missing else reasons
        for reasons, missing in zip(rows["reasons"], unlabelled, strict=True)
    ]
    return rows


def _has_labels(table: pd.DataFrame | None) -> bool:
    return table is not None and bool(table["label"].notna().any())


def _joined(root: Path, files: pd.DataFrame, table: pd.DataFrame | None) -> pd.DataFrame:
    empty = pd.DataFrame({name: pd.Series(dtype="str") for name in ("path", "label", "split", "group")})
    rows = files.merge(empty if table is None else table, on="path", how="outer", sort=True)
    rows["reasons"] = [
        reasons if isinstance(reasons, list) else [problem] if (problem := file_problem(root, path)) else []
        for path, reasons in zip(rows["path"], rows["reasons"], strict=True)
    ]
    metadata = [name for name in map(str, rows) if name.startswith("meta_")]
    return rows.sort_values("path", ignore_index=True)[["path", "label", "split", "group", "reasons", *metadata]]


def _labels(by_table: pd.Series, by_folder: pd.Series, labels_from: str, *, has_labels: bool) -> pd.Series:
    """One folder is where images lie, not a class: folders count as labels from two on."""
    if labels_from == "table" or (labels_from == "auto" and has_labels and by_folder.nunique() < 2):
        if not has_labels:
            raise BadData("ingest.labels_from is `table`, but there is no table with a filled column `label`")
        return by_table
    if labels_from == "folders":
        return by_folder
    return _agreed(by_table, by_folder, "label", "set ingest.labels_from to `folders` or `table`")


def _agreed(by_table: pd.Series, by_folder: pd.Series, what: str, remedy: str) -> pd.Series:
    both = by_table.notna() & by_folder.notna()
    differ = int((by_table[both] != by_folder[both]).sum())
    if differ:
        raise BadData(f"folder and table give another {what} to {differ} of {int(both.sum())} images; {remedy}")
    return by_table.where(by_table.notna(), by_folder)


def _refuse_too_few_classes(root: Path, labels: pd.Series) -> None:
    classes = sorted(labels.dropna().unique())
    if not classes:
        raise BadData(f"{root}: no image has a label; use a folder for each class, or a table with a column `label`")
    if len(classes) == 1:
        raise BadData(f"{root}: all images are of one class, {classes[0]!r}; a classifier needs at least two")
