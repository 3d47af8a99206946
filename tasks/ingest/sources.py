"""From a data folder, a table and sidecars to the manifest: one row for every file found or named."""

from pathlib import Path

import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.agreement import label_sources, united
from tasks.ingest.folders import Found, Listing, file_problem, folder_label, has_split_folders, unpacked
from tasks.ingest.refusals import refuse_empty_classes, refuse_too_little, refuse_twins

_DECLARED = ("path", "label", "split", "group")
_COLUMNS = (*_DECLARED, "reasons", "archive", "offset", "stored_bytes", "deflated")


def build_manifest(
    root: Path,
    listing: Listing,
    table: pd.DataFrame | None,
    params: IngestParams,
    sidecars: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Columns `path`, `label`, `split`, `group`, `reasons`, the place of a member, and `meta_*`; sorted by path.

    `archive`, `offset`, `stored_bytes` are null and `deflated` is false for a plain file. Where table and sidecars
    have a `meta_` column of one name, it is the table's. Raises BadData where the sources contradict each other, two
    paths differ in case or Unicode form only, a class folder is empty, or there is too little to learn from.
    """
    rows = _found_or_named(root, listing, table)
    if not len(rows):
        raise BadData(f"{root} holds no images; put them there in one folder for each class")
    refuse_twins(root, rows["path"])
    places = _places(rows, listing)
    with_splits = has_split_folders(places)
    folders = _by_folder(rows, places, with_splits=with_splits)
    aside = _beside(rows, sidecars)
    said = {"table": rows["label"], "sidecars": aside["label"], "folders": folders["label"]}
    counted = label_sources(said, params.labels_from)
    if counted:
        rows["label"] = united(counted, "label", "set ingest.labels_from to the one that is right")
    said = {"table": rows["split"], "sidecars": aside["split"], "folders": folders["split"]}
    rows["split"] = united(said, "split", "leave the column out or correct it")
    rows["group"] = united({"table": rows["group"], "sidecars": aside["group"]}, "group", "leave one out or correct it")
    if "folders" in counted:
        refuse_empty_classes(root, listing, rows["label"], with_splits=with_splits)
    refuse_too_little(root, rows)
    return _finished(rows, aside)


def _found_or_named(root: Path, listing: Listing, table: pd.DataFrame | None) -> pd.DataFrame:
    """A row, indexed by its path, for every file that may be a sample and for every path in the table."""
    named = set() if table is None else set(table["path"])
    files = listed([*listing.files, *(file for file in listing.passed_over if file.path in named)])
    empty = pd.DataFrame({name: pd.Series(dtype="str") for name in _DECLARED})
    rows = files.merge(empty if table is None else table, on="path", how="outer")
    rows["reasons"] = [
        reasons if isinstance(reasons, list) else [problem] if (problem := file_problem(root, path)) else []
        for path, reasons in zip(rows["path"], rows["reasons"], strict=True)
    ]
    rows["deflated"] = rows["deflated"].fillna(value=False).astype(bool)
    return rows.sort_values("path").set_index("path", drop=False)


def listed(files: list[Found]) -> pd.DataFrame:
    """A row for every file: `path`, `reasons`, and where the bytes of a member lie."""
    return pd.DataFrame(
        {
            "path": pd.Series([file.path for file in files], dtype="str"),
            "reasons": pd.Series([list(file.reasons) for file in files], dtype="object"),
            "archive": pd.Series([file.archive for file in files], dtype="str"),
            "offset": pd.array([file.offset for file in files], dtype="Int64"),
            "stored_bytes": pd.array([file.stored_bytes for file in files], dtype="Int64"),
            "deflated": pd.array([file.deflated for file in files], dtype="boolean"),
        }
    )


def _places(rows: pd.DataFrame, listing: Listing) -> list[str]:
    """The path of each row as if archives were unpacked where they lie, of a member that is missing too."""
    return [
        unpacked(path, archive if isinstance(archive, str) else _holder(path, reasons, listing))
        for path, archive, reasons in zip(rows["path"], rows["archive"], rows["reasons"], strict=True)
    ]


def _holder(path: str, reasons: list[str], listing: Listing) -> str | None:
    if "missing_file" not in reasons:
        return None
    return next((archive for archive in listing.archives if path.startswith(f"{archive}/")), None)


def _by_folder(rows: pd.DataFrame, places: list[str], *, with_splits: bool) -> pd.DataFrame:
    labels = [folder_label(place, with_splits=with_splits) for place in places]
    return pd.DataFrame(labels, index=rows.index, columns=["label", "split"], dtype="str")


def _beside(rows: pd.DataFrame, sidecars: pd.DataFrame | None) -> pd.DataFrame:
    """What the sidecars say, in the order of the rows."""
    if sidecars is None:
        return pd.DataFrame(None, index=rows.index, columns=_DECLARED, dtype="str")
    return sidecars.set_index("path", drop=False).reindex(rows.index)


def _finished(rows: pd.DataFrame, aside: pd.DataFrame) -> pd.DataFrame:
    metadata = [name for name in map(str, [*rows, *aside]) if name.startswith("meta_")]
    whole = rows.assign(**{name: aside[name] for name in metadata if name not in rows})
    whole["reasons"] = [
        [*reasons, "no_label"] if missing else reasons
        for reasons, missing in zip(rows["reasons"], rows["label"].isna(), strict=True)
    ]
    return whole[[*_COLUMNS, *dict.fromkeys(metadata)]].reset_index(drop=True)
