"""What a table beside the images says: a column `path`, and any of label, split, group and more."""

import json
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.folders import SPLIT_NAMES
from tasks.ingest.readers import RawTable, read_raw_table

DEFAULT_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
PATH_COLUMNS = ("path", "file_name")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")  # "007" is a name
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(file|data|https?):", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:/")
_LIST = re.compile(
    r"\[\s*(['\"]).*\1\s*\]|\[[^\]]*,[^\]]*\]", re.DOTALL
)  # as JSON and Python write it; `[UNK]` is a name


def find_table(root: Path, named: str | None) -> Path | None:
    """The table that params name, or the default one; None where there is none.

    Raises BadData where the named one is missing or several defaults are there.
    """
    if named is not None:
        if not (root / named).is_file():
            raise BadData(f"{root / named} is missing or no file; ingest.table names it")
        return root / named
    there = [root / name for name in DEFAULT_NAMES if (root / name).is_file()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise BadData(f"{root} has {names}; name the one to use in ingest.table")
    return there[0] if there else None


def read_table(path: Path, params: IngestParams) -> pd.DataFrame:
    """The table in a file as `meaning` has it. Raises BadData."""
    raw = read_raw_table(path)
    if params.group is not None and params.group not in raw.table:
        raise BadData(f"{path} has no column {params.group!r}, which ingest.group names")
    return meaning(raw, params.group)


def meaning(raw: RawTable, group: str | None) -> pd.DataFrame:
    """The columns `path`, `label`, `split`, `group` (text or null) and `meta_*`; one row a path.

    Empty text is null, `NA` and `nan` are text, labels are text, split names are graft's four. `group` names the
    column that the groups are taken from. Raises BadData.
    """
    table = raw.table
    column = next((name for name in PATH_COLUMNS if name in table), None)
    if column is None:
        raise BadData(f"{raw.where} has no column `path` (columns: {', '.join(map(str, table.columns))}); add one")
    out = pd.DataFrame({"path": _paths(raw, column)}, dtype="str")
    for name, source in (("label", "label"), ("split", "split"), ("group", group or "group")):
        out[name] = _single_values(raw, source) if source in table else pd.Series(None, table.index, dtype="str")
    out["split"] = _splits(out["split"], raw)
    for name in table.columns.drop([column, *({"label", "split", "group"} & set(table.columns))]):
        out[f"meta_{name}"] = _metadata(table[name])
    return _one_row_a_path(out, raw.where)


def _single_values(raw: RawTable, column: str) -> pd.Series:
    values = raw.table[column]
    if not pd.api.types.is_numeric_dtype(values):
        _refuse_several(values, column, raw)
    return _filled(_texts(values).str.strip())


def _refuse_several(values: pd.Series, column: str, raw: RawTable) -> None:
    for row, value in zip(raw.rows, values, strict=True):
        if isinstance(value, list | tuple | dict | set | np.ndarray) or (
            isinstance(value, str) and _LIST.fullmatch(value.strip())
        ):
            raise BadData(f"{raw.where}, {row}: {_shown(value)} as {column}; graft takes one value for each image")


def _shown(value: object) -> str:
    return str(list(value) if isinstance(value, np.ndarray) else value)[:80]


def _texts(values: pd.Series) -> pd.Series:
    """Text of any column; whole numbers without the `.0` that a missing value gives their column."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    elif values.dtype == object:
        values = pd.Series([_plain(value) for value in values], values.index, dtype="object")
    return values.astype("str").where(values.notna(), None).astype("str")


def _plain(value: object) -> object:
    """One value of a mixed column: lists and objects as JSON, a whole number without its `.0`."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _filled(texts: pd.Series) -> pd.Series:
    return texts.where(texts != "", None).astype("str")


def _paths(raw: RawTable, column: str) -> list[str]:
    paths = []
    for row, text in zip(raw.rows, _texts(raw.table[column]), strict=True):
        if not isinstance(text, str) or not text.strip():
            raise BadData(f"{raw.where}, {row}: no path")
        if _URL.match(text):
            raise BadData(f"{raw.where}, {row}: {text!r} is an address; nothing is fetched, put the file into data/raw")
        plain = text.replace("\\", "/")
        path = PurePosixPath(plain)
        if path.is_absolute() or ".." in path.parts or "\0" in text or _DRIVE.match(plain):
            raise BadData(f"{raw.where}, {row}: {text!r} leaves the data folder; paths are relative to it")
        paths.append(path.as_posix())
    return paths


def _splits(values: pd.Series, raw: RawTable) -> pd.Series:
    known = values.str.lower().map(SPLIT_NAMES).astype("str")
    unknown = values.notna() & known.isna()
    if unknown.any():
        at = int(unknown.to_numpy().argmax())
        raise BadData(
            f"{raw.where}, {raw.rows[at]}: unknown split {values.iloc[at]!r}; known: {', '.join(SPLIT_NAMES)}"
        )
    return known


def _metadata(values: pd.Series) -> pd.Series:
    """Numbers and truth values as they are, text that is all numbers as numbers, everything else as text."""
    if pd.api.types.is_numeric_dtype(values):
        return values
    texts = _filled(_texts(values))
    there = texts.dropna()
    if len(there) and there.map(lambda text: _NUMBER.fullmatch(text) is not None).all():
        return pd.to_numeric(texts)
    return texts


def _one_row_a_path(table: pd.DataFrame, where: str) -> pd.DataFrame:
    table = table.drop_duplicates(ignore_index=True)
    twice = table["path"].duplicated(keep=False)
    if twice.any():
        first = table.loc[twice, "path"].iloc[0]
        differ = table[table["path"] == first].nunique(dropna=False) > 1
        columns = [str(name) for name in table.columns[differ]]
        raise BadData(f"{where} has {first!r} more than once with different {' and '.join(columns)}; leave one row")
    return table
